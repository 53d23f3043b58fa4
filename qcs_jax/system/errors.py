"""Exceptions that a message can mend, and how a run ends by a signal."""


class UserError(ValueError):
    """Something the user gave cannot be used; the message says what and the fix.

    The command line prints it without a traceback. Any other exception is a bug.
    """


def first_line(error: BaseException) -> str:
    """What an error of a library says, which may be very long."""
    return str(error).strip().partition("\n")[0][:200]


class Interrupted(Exception):
    """A signal ended the work; `saved` if all its processes have saved its state."""

    def __init__(self, signum: int, message: str, *, saved: bool = False):
        super().__init__(message)
        self.signum, self.saved = signum, saved
