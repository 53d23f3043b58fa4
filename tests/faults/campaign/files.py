"""Broken PyTorch files, in a process that may not use much memory."""

import pathlib
import subprocess
import sys

FUZZ = pathlib.Path(__file__).parents[2] / "convert" / "reader" / "fuzz.py"


def broken(tally, count, seed):
    """The reader loads or refuses each; all else ends the fuzzer."""
    if not count:
        return
    command = [sys.executable, str(FUZZ), str(count), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True)
    survived = count if done.returncode == 0 else 0
    print(done.stderr, end="", file=sys.stderr)
    tally.many("a PyTorch file, broken", count, survived)
