"""Stops a run between two steps when the system or the user asks for it."""

from __future__ import annotations

import signal
import threading


class Interrupted(Exception):
    """A signal stopped the run after its state was saved.

    Attributes:
      signum: The signal.
    """

    def __init__(self, signum: int, message: str):
        super().__init__(message)
        self.signum = signum


class Interrupt:
    """While active, SIGTERM and the first Ctrl-C only set `signum`.

    A second Ctrl-C interrupts at once. Outside of the main thread, where Python allows
    no signal handlers, it does nothing.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGTERM, signal.SIGINT):
                self._previous[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    def _note(self, signum: int, frame: object) -> None:
        if self.signum == signal.SIGINT == signum:
            raise KeyboardInterrupt
        self.signum = signum
