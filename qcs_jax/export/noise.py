"""Keeps what TensorFlow tells everybody on every start off the screen.

`TF_CPP_MIN_LOG_LEVEL` rules only a part of it: what is logged before `InitializeLog`,
and what TFLite logs, comes whatever its value. Nothing but the lines themselves tells
which is which, so a process of its own reads them and passes on the others. It outlives
this one: the last words of a crash arrive, too.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

# What the user has set: JAX sets the variable to 1 when it is imported.
_LEVEL = os.environ.get("TF_CPP_MIN_LOG_LEVEL")

_NOISE = re.compile(
    rb"[IW]\d{4} \d\d:\d\d:"  # information and warnings in the form of Abseil
    rb"|INFO: "  # of TFLite
    rb"|WARNING: All log messages before absl::InitializeLog"
    rb"|E\d{4} .*failed call to cuInit"  # there need not be a GPU
)


@contextlib.contextmanager
def left_out() -> Iterator[None]:
    """Leaves TensorFlow's information and warnings out of standard error.

    Errors, and what Python prints, pass. Nothing is left out where the user has set
    `TF_CPP_MIN_LOG_LEVEL` to 0 or 1, which ask for it.
    """
    if _LEVEL in ("0", "1"):
        yield
        return
    screen = os.dup(2)
    reader = subprocess.Popen([sys.executable, "-I", __file__], stdin=subprocess.PIPE)
    assert reader.stdin
    os.dup2(reader.stdin.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(screen, 2)
        os.close(screen)
        # A process that was started meanwhile may keep the pipe open for ever.
        with contextlib.suppress(subprocess.TimeoutExpired):
            reader.communicate(timeout=5)


def _pass_on() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to whoever writes
    for line in sys.stdin.buffer:
        if not _NOISE.match(line):
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()


if __name__ == "__main__":
    _pass_on()
