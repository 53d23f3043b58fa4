"""Exceptions that a message can mend, and how a run ends by a signal."""


class UserError(ValueError):
    """Something the user gave cannot be used; the message says what and the fix.

    The command line prints it without a traceback. Any other exception is a bug.
    """


class Interrupted(Exception):
    """A signal ended the work.

    Attributes:
      signum: Number of the signal.
      saved: Whether all processes of the work have saved its state before.
    """

    def __init__(self, signum: int, message: str, *, saved: bool = False):
        super().__init__(message)
        self.signum, self.saved = signum, saved
