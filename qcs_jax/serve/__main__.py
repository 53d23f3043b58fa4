"""Serves a network over HTTP: loaded once, asked often.

qcs-jax serve
qcs-jax serve --checkpoint=RUN --host=0.0.0.0 --token-file=token
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import logging
import math
import os
import pathlib
import socket
import sys
from typing import TYPE_CHECKING, Any

from qcs_jax.predict.__main__ import add_network
from qcs_jax.system import command, extras, signals
from qcs_jax.system.errors import UserError

if TYPE_CHECKING:
    import uvicorn

_SIZES = (1, 2, 4, 8, 16, 32)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="qcs-jax serve",
        description="Finds and classifies the faces of images that are sent over HTTP. "
        "Ctrl-C or SIGTERM ends it when what it works on is answered.",
        epilog="/docs of the service describes what it takes.",
        allow_abbrev=False,
    )
    add_network(parser)
    add = parser.add_argument
    text = "default: 127.0.0.1, this machine alone; 0.0.0.0: all its addresses"
    add("--host", default="127.0.0.1", help=text)
    add("--port", type=_port, default=8000, help="default: 8000; 0: any that is free")
    text = "callers must send what it has: Authorization: Bearer TOKEN"
    add("--token-file", metavar="FILE", help=text)
    add("--insecure", action="store_true", help="serve others without a token")
    text = "show it at /: what qcs-jax export --format=web wrote"
    add("--page", metavar="FOLDER", help=text)
    text = "faces of different callers in a call of the network; default: 32"
    add("--max-batch", type=int, choices=_SIZES, default=32, help=text)
    text = "how long a call of the network waits for faces of others; default: 2"
    add("--max-wait-ms", type=command.positive, default=2.0, metavar="MS", help=text)
    text = "the largest image, as a square; default: 25"
    add("--max-megapixels", type=command.positive, default=25.0, metavar="M", help=text)
    text = "the longest body; default: 16"
    add("--max-body-mb", type=command.positive, default=16.0, metavar="MB", help=text)
    text = "requests that are read, wait or are worked on; others get 503; default: 64"
    add("--max-requests", type=command.count, default=64, metavar="N", help=text)
    text = "how long a request may take; default: 60"
    add("--timeout", type=command.positive, default=60.0, metavar="S", help=text)
    text = "threads that decode images and find faces; default: one a core"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    cores = cores or os.cpu_count() or 1
    add("--workers", type=command.count, default=cores, metavar="N", help=text)
    args = parser.parse_args(argv)
    with signals.ending():
        return command.run(lambda: _serve(args), failure=2)


def _serve(args: argparse.Namespace) -> None:
    extras.require("serve")
    token = None if args.token_file is None else _token(args.token_file)
    if token is None and not args.insecure and not _is_loopback(args.host):
        raise UserError(
            f"--host={args.host} lets others in: give --token-file=FILE with a secret "
            f"that they have to send, or --insecure"
        )
    page = None if args.page is None else pathlib.Path(args.page)
    if page is not None and not (page / "index.html").is_file():
        raise UserError(
            f"--page={args.page} has no index.html: give a folder that "
            f"qcs-jax export --format=web wrote"
        )
    with _listening(args.host, args.port) as listening:
        server = _create(args, token, page)

        def stop(again: bool) -> None:
            server.should_exit = True

        # The server has handlers of its own, and then raises what it got once more.
        with signals.Interrupt(stop):
            server.run(sockets=[listening])


def _create(
    args: argparse.Namespace, token: bytes | None, page: pathlib.Path | None
) -> uvicorn.Server:
    """Loads and compiles all there is."""
    # Imported here, so that --help and a wrong flag answer at once.
    import cv2
    import uvicorn

    from qcs_jax.predict import classifier as predicting
    from qcs_jax.predict.detector import BlazeFace
    from qcs_jax.predict.yunet import YuNet
    from qcs_jax.serve import app, batches, desk, metrics

    cv2.setNumThreads(1)  # each of the workers takes a core
    detector = BlazeFace() if args.detector is None else YuNet(args.detector)
    path = predicting.PRETRAINED if args.checkpoint is None else args.checkpoint
    with contextlib.redirect_stdout(sys.stderr):
        classifier = predicting.load(
            path, flip=args.flip, detector=desk.PerThread(detector)
        )
    counts = metrics.Metrics()
    network = batches.Batches(
        batches.runner(classifier),
        classifier.resize,
        most=args.max_batch,
        wait=args.max_wait_ms / 1000,
        threads=args.workers,
        note=counts.batch,
    )
    front = desk.Desk(
        classifier,
        network,
        workers=args.workers,
        places=args.max_requests,
        megapixels=args.max_megapixels,
    )
    counts.watch_places(lambda: front.inside)
    _log()
    application = app.create(
        front,
        counts,
        app.describe(classifier, network.alike),
        app.Limits(int(args.max_body_mb * 1e6), args.timeout),
        drawn=classifier.drawn,
        token=token,
        page=page,
    )

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            host, port, *_ = sockets[0].getsockname()
            host = f"[{host}]" if ":" in host else host
            print(f"serving at http://{host}:{port}", flush=True)

    return Server(
        uvicorn.Config(
            application,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="on",
            log_config=None,  # its faults go to standard error; requests `Door` logs
            access_log=False,
            server_header=False,
            proxy_headers=False,
            # Who does not read an answer keeps nobody from ending.
            timeout_graceful_shutdown=math.ceil(args.timeout),
        )
    )


def _log() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("qcs_jax.serve")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    # It warns of what callers send.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


def _token(path: str) -> bytes:
    try:
        token = pathlib.Path(path).read_bytes().strip()
    except OSError as error:
        raise UserError(f"--token-file={path}: {error.strerror}") from None
    if not token or not token.isascii() or b" " in token or b"\n" in token:
        raise UserError(
            f"--token-file={path} has no token: write one line of letters and digits, "
            f"such as openssl rand -hex 32 prints"
        )
    return token


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, which may mean any address
        return False


def _listening(host: str, port: int) -> socket.socket:
    """Takes the port before anything is loaded."""
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise UserError(f"--host={host} is no address of this machine") from error
    # The protocol is named: asyncio sends at once (TCP_NODELAY) only where it is, and
    # what comes in two parts would wait 40 ms for the caller's system.
    family, kind, protocol, _, address = found[0]
    taken = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would let two programs have one port
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
    except OSError as error:
        taken.close()
        raise UserError(
            f"cannot listen at {host}, port {port} ({error.strerror}): give another "
            f"--port, or --port=0 for any that is free"
        ) from None
    return taken


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from 0 to 65535")
    return int(text)


if __name__ == "__main__":
    command.start(main)
