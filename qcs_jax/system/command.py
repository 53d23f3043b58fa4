"""How every command starts, kinds of arguments, and how it ends whatever happens."""

from __future__ import annotations

import argparse
import codecs
import io
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable

from absl import logging

from qcs_jax.system import extras
from qcs_jax.system.errors import Interrupted, UserError, first_line

_BUG = 70  # exit status, EX_SOFTWARE of sysexits.h


def run(work: Callable[[], int | None], *, failure: int = 1) -> int:
    """Does the work of a command; what the user can act on is told in one message.

    Returns:
      Exit status: that of `work`; `failure` after a mistake, or after training that is
      not finite; 128 plus its number after a signal, 130 after Ctrl-C; 141 when nobody
      reads the output any longer, as after `| head`.
    """
    try:
        with extras.named():
            status = work() or 0
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        return 128 + interrupted.signum
    except BrokenPipeError:
        discard_output()
        return 141
    except (UserError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return failure


def discard_output() -> None:
    """Sends standard output nowhere: Python would complain of a closed pipe at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def start(main: Callable[[], int]) -> None:
    """Runs `main` as the program and exits with the status that it returns.

    What no user can mend is a bug: one line asks to report it, with the file in which
    the traceback is, and the exit status is 70.
    """
    # Orbax warns about what is as it should be, and logs what it raises, too.
    logging.set_verbosity(logging.FATAL)
    # Pillow warns of images that are large, beside refusing those that are too large.
    warnings.filterwarnings("ignore", ".*could be decompression bomb")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Names of files may be no text; and a pipe on Windows lacks most letters.
            utf8 = codecs.lookup(stream.encoding).name == "utf-8"
            stream.reconfigure(errors="surrogateescape" if utf8 else "backslashreplace")
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before the work began
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        print(_report(error), file=sys.stderr)
        sys.exit(_BUG)


def _report(error: Exception) -> str:
    """Writes the traceback into a file, and says what happened in one line."""
    message = f"error: {type(error).__name__}: {first_line(error)}".removesuffix(": ")
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="qcs_jax-", suffix=".txt", delete=False, errors="replace"
        ) as file:
            file.write(f"{typed(*sys.orig_argv)}\n{platform.platform()}\n")
            traceback.print_exception(error, file=file)
    except OSError:  # no space for it
        traceback.print_exception(error)
        return f"{message}. This is a bug of qcs_jax: please report it"
    return f"{message}. This is a bug of qcs_jax: please report it, with {file.name}"


def typed(*words: str) -> str:
    """The words of a command as they are typed, in cmd and PowerShell or a shell."""
    windows = sys.platform == "win32"
    return subprocess.list2cmdline(words) if windows else shlex.join(words)


def count(text: str) -> int:
    """A `type` of argparse: a number, 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number, 1 or more")
    return int(text)


def positive(text: str) -> float:
    """A `type` of argparse: a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: give a number above 0")
    return value
