"""Stops work between two steps when the system or the user asks for it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from qcs_jax.system.errors import Interrupted

# SIGHUP, where there is one, says that the terminal is gone.
STOPPING = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
)


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Ends work by an exception where a signal would kill: files are closed, whole.

    Raises:
      Interrupted: when the system asks to stop; Ctrl-C is KeyboardInterrupt as always.
    """

    def end(signum: int, frame: object) -> None:
        raise Interrupted(signum, f"stopped by signal {signum}")

    with _handled(end, [x for x in STOPPING if signal.getsignal(x) is signal.SIG_DFL]):
        yield


@contextlib.contextmanager
def _handled(handler: Callable, signums: Iterable[int]) -> Iterator[None]:
    """Handles signals while the block runs; Python can in the main thread alone."""
    in_main = threading.current_thread() is threading.main_thread()
    before = {x: signal.signal(x, handler) for x in signums if in_main}
    try:
        yield
    finally:
        for signum, previous in before.items():
            signal.signal(signum, previous)


class Interrupt:
    """While active, a signal only sets `signum`; a second Ctrl-C interrupts at once.

    Outside of the main thread, where Python allows no signal handlers, it does nothing.
    """

    signals = STOPPING

    def __init__(self, on_signal: Callable[[bool], None] | None = None) -> None:
        """Calls `on_signal` at every signal with whether it is a second Ctrl-C."""
        self.signum: int | None = None  # the latest
        self._on_signal = on_signal

    def __enter__(self) -> Interrupt:
        ignored = {x for x in self.signals if signal.getsignal(x) is signal.SIG_IGN}
        ignored.discard(signal.SIGINT)  # what else is ignored, nohup asked for
        self._handled = _handled(self._note, [*{*self.signals} - ignored])
        self._handled.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._handled.__exit__(*exception)

    def due(self, step: int) -> bool:
        """Whether to stop before `step`."""
        return self.signum is not None

    def agreed(self) -> int:
        """The number of the signal that stopped the work."""
        assert self.signum is not None
        return self.signum

    def _note(self, signum: int, frame: object) -> None:
        again = self.signum == signal.SIGINT == signum
        self.signum = signum
        if self._on_signal:
            self._on_signal(again)
        elif again:
            raise KeyboardInterrupt
