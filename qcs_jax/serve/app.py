"""Addresses of the service, who may ask, and how errors are told."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hmac
import logging
import pathlib
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import qcs_jax
from qcs_jax.predict.answers import Failure
from qcs_jax.predict.classifier import Classifier
from qcs_jax.serve import asked, openapi
from qcs_jax.serve.asked import Refusal
from qcs_jax.serve.desk import Desk, Told, as_json
from qcs_jax.serve.metrics import Metrics

T = TypeVar("T")
logger = logging.getLogger("qcs_jax.serve")

_GONE = 499  # nobody reads it; nginx logs this number, too
_GUARDED = ("/v1/", "/metrics")


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one request may have."""

    body: int  # bytes
    seconds: float  # from its first byte to the answer


def describe(
    classifier: Classifier, alike: Mapping[int, Sequence[int]]
) -> dict[str, Any]:
    """What /v1/model answers: no path of this machine is in it."""
    lines = str(classifier).splitlines()[1:]  # the first names the path
    card = dict(line.split(maxsplit=1) for line in lines)
    if card.get("accuracy", "").startswith("not known"):  # the reason names one, too
        card["accuracy"] = "not known"
    side, seen = classifier.resize, classifier.image_size
    return {
        "version": qcs_jax.__version__,
        "classes": list(classifier.class_names),
        "preprocessing": {"resize": side, "center": seen, "flip": classifier.flip},
        "drawn": classifier.drawn,
        "card": card,
        # Sizes whose faces callers may share, see `batches`.
        "alike": [list(sizes) for sizes in sorted({*map(tuple, alike.values())})],
    }


def create(
    desk: Desk,
    metrics: Metrics,
    model: dict[str, Any],
    limits: Limits,
    *,
    drawn: bool = False,
    token: bytes | None = None,
    page: pathlib.Path | None = None,
) -> Starlette:
    """Makes the application.

    Args:
      model: What /v1/model answers.
      drawn: Whether the network knows drawings, and takes every image whole.
      token: Without it, none of the network's answers are given; None: to everybody.
      page: Folder of the page for browsers.
    """

    def asking(crops: bool) -> Any:
        async def endpoint(request: Request) -> Response:
            return await _ask(request, desk, metrics, limits, crops=crops or drawn)

        return endpoint

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        if desk.inside >= desk.places:
            raise Refusal(503, "all places are taken", {"Retry-After": "1"})
        return JSONResponse({"status": "ready"})

    async def about(request: Request) -> Response:
        return JSONResponse(model)

    async def measured(request: Request) -> Response:
        return Response(metrics.text(), headers={"Content-Type": metrics.kind})

    async def document(request: Request) -> Response:
        return JSONResponse(openapi.DOCUMENT)

    async def docs(request: Request) -> Response:
        return HTMLResponse(openapi.as_html(openapi.DOCUMENT))

    async def start(request: Request) -> Response:
        return RedirectResponse("docs")

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(desk.close)

    routes: list[Route | Mount] = [
        Route("/v1/predict", asking(crops=False), methods=["POST"]),
        Route("/v1/classify", asking(crops=True), methods=["POST"]),
        Route("/v1/model", about),
        Route("/healthz", health),
        Route("/readyz", ready),
        Route("/metrics", measured),
        Route("/openapi.json", document),
        Route("/docs", docs),
    ]
    if page is None:
        routes.append(Route("/", start))
    else:
        routes.append(Mount("/", StaticFiles(directory=page, html=True)))
    return Starlette(
        routes=routes,
        middleware=[Middleware(Door, metrics=metrics, token=token)],
        exception_handlers={
            Refusal: _refused,
            HTTPException: _not_found,
            Exception: _failed,
        },
        lifespan=lifespan,
    )


async def _ask(
    request: Request, desk: Desk, metrics: Metrics, limits: Limits, *, crops: bool
) -> Response:
    with contextlib.ExitStack() as stack:
        try:
            work = stack.enter_context(desk.place())
        except Refusal:
            await asked.discard(request)
            raise
        late = Refusal(408, f"the body did not come within {limits.seconds:g} seconds")
        try:
            async with asyncio.timeout(limits.seconds):
                body = await asked.read_body(request, limits.body)
                late = Refusal(
                    504, f"this takes longer than {limits.seconds:g} seconds"
                )
                kind = request.headers.get("content-type", "")
                uploads = await desk.parse(kind, body, work)
                del body
                answering = desk.answer(uploads, crops=crops, work=work)
                answers = await _unless_gone(request, answering)
        except TimeoutError:
            raise late from None
        except ClientDisconnect:
            return Response(status_code=_GONE)
        failed = sum(isinstance(x, Failure) for x in answers)
        faces = sum(x.faces for x in answers if isinstance(x, Told))
        metrics.answered(len(answers), failed, faces)
        return Response(as_json(answers), media_type="application/json")


async def _unless_gone(request: Request, work: Awaitable[T]) -> T:
    """Waits for work while the caller does; ends what has not begun, if not."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        first = asyncio.FIRST_COMPLETED
        await asyncio.wait({working, leaving}, return_when=first)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return _error(error.status, error.sentence, error.headers)


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentences = {
        404: "there is nothing at this address: /docs lists all",
        405: "this address takes another method: /docs lists all",
    }
    sentence = sentences.get(error.status_code, error.detail)
    return _error(error.status_code, sentence, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    return _error(500, "this is a fault of the service, which has it in its log")


def _error(status: int, sentence: str, headers: Any = None) -> Response:
    return JSONResponse({"error": sentence}, status, headers)


class Door:
    """Middleware: lets in who has the token; counts, and logs sizes and times."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, token: bytes | None):
        self._app, self._metrics, self._token = app, metrics, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, size = time.monotonic(), 500, 0

        async def count_in() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            return message

        async def count_out(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if self._may_enter(scope):
                await self._app(scope, count_in, count_out)
            else:
                await asked.discard(Request(scope, count_in))
                sentence = "give the token of this service: Authorization: Bearer TOKEN"
                response = _error(401, sentence, {"WWW-Authenticate": "Bearer"})
                await response(scope, count_in, count_out)
        finally:
            seconds = time.monotonic() - began
            path = scope["path"] if scope["path"] in openapi.PATHS else "other"
            self._metrics.asked(path, status, seconds)
            if path != "other" and scope["method"] == "POST":
                logger.info("%s %d %d bytes %.3f s", path, status, size, seconds)

    def _may_enter(self, scope: Scope) -> bool:
        if self._token is None or not scope["path"].startswith(_GUARDED):
            return True
        given = dict(scope["headers"]).get(b"authorization", b"")
        kind, _, token = given.partition(b" ")
        return kind.lower() == b"bearer" and hmac.compare_digest(token, self._token)
