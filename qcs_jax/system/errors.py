"""The exception for mistakes that a message can mend."""


class UserError(ValueError):
    """Something the user gave cannot be used; the message says what and the fix.

    The command line prints it without a traceback. Any other exception is a bug.
    """
