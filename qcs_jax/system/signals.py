"""Stops work between two steps when the system or the user asks for it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
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

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for signum in STOPPING:
            if signal.getsignal(signum) is signal.SIG_DFL:
                before[signum] = signal.signal(signum, end)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


class Interrupt:
    """While active, a signal only sets `signum`; a second Ctrl-C interrupts at once.

    Outside of the main thread, where Python allows no signal handlers, it does nothing.

    Attributes:
      signum: Number of the latest signal, or None.
    """

    signals = STOPPING

    def __init__(self, on_signal: Callable[[bool], None] | None = None) -> None:
        """Sets nothing up yet; use as a context manager.

        Args:
          on_signal: Called at every signal with whether it is a second Ctrl-C; default
            raises KeyboardInterrupt for that.
        """
        self.signum: int | None = None
        self._on_signal = on_signal or _stop_at_once
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for signum in self.signals:
                ignored = signal.getsignal(signum) is signal.SIG_IGN
                if ignored and signum != signal.SIGINT:
                    continue  # as nohup asks for
                self._previous[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

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
        self._on_signal(again)


def _stop_at_once(again: bool) -> None:
    if again:
        raise KeyboardInterrupt
