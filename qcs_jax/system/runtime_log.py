"""What JAX's runtime writes to standard error, less what is told better elsewhere."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator

# A record begins with its severity, time and source file: "E1127 14:57:46.130289 ...".
_RECORD = re.compile(rb"[IWEF]\d{4} \d\d:\d\d:\d\d\.")
_OF_LOSSES = re.compile(rb" (coordination_service|preemption_|client\.h|add_port)")
_DETAILS = (b"Additional GRPC", b":UNKNOWN")  # lines that go on with a warning


@contextlib.contextmanager
def without_losses(on_abort: Callable[[], None]) -> Iterator[None]:
    """Leaves out what the coordination service logs, dumps of its aborts included.

    It writes to the file descriptor. What Python writes to `sys.stderr` goes the
    straight way, to a terminal if there is one. `on_abort` is called, in another
    thread, when the service is about to abort this process.
    """
    sys.stderr.flush()
    before, straight = sys.stderr, os.dup(2)
    read, write = os.pipe()
    os.dup2(write, 2)
    os.close(write)
    raw = os.fdopen(straight, "wb", 0, closefd=False)
    sys.stderr = io.TextIOWrapper(raw, errors="surrogateescape", write_through=True)
    thread = threading.Thread(
        target=_copy, args=(read, straight, on_abort), daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        sys.stderr = before
        os.dup2(straight, 2)  # which ends the pipe, unless a child writes into it
        thread.join(1)


def _copy(read: int, to: int, on_abort: Callable[[], None]) -> None:
    with os.fdopen(read, "rb") as file:
        for line in kept(iter(file.readline, b""), on_abort):
            os.write(to, line)


def kept(lines: Iterable[bytes], on_abort: Callable[[], None]) -> Iterator[bytes]:
    """Yields the lines that are not of records about losses.

    What follows an error, or the last record, belongs to it; after a warning, others
    may speak.
    """
    dropping = False
    for line in lines:
        if _RECORD.match(line):
            about_losses = bool(_OF_LOSSES.search(line))
            dropping = about_losses and line[:1] in b"EF"
            if about_losses and line[:1] == b"F":
                on_abort()
            if about_losses:
                continue
        if not (dropping or line.startswith(_DETAILS)):
            yield line
