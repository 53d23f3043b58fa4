"""What of standard error gets through while TensorFlow works."""

import os
import subprocess
import sys

import pytest

NOISE = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795545089.373841    2141 cudart_stub.cc:31] Could not find cuda drivers.
W0000 00:00:1795545099.312049    2141 tf_tfl_flatbuffer_helpers.cc:364] Ignored.
E0000 00:00:1795545096.668328    2141 cuda_platform.cc:52] failed call to cuInit: 303
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
"""
WORDS = """\
E0000 00:00:1795545096.668328    2141 reader.cc:52] Data loss
F0000 00:00:1795545096.668328    2141 reader.cc:53] Check failed: false
ERROR: didn't find op for builtin opcode 'CONV_2D'
error: there is no run
UserWarning: WARNING: INFO: I0000 00:00:
"""
SCRIPT = """
import os, sys
import qcs_jax.export
import jax
from qcs_jax.export import noise
with noise.left_out():
    os.write(2, sys.argv[1].encode())
    print("of Python", file=sys.stderr)
    {last}
os.write(2, b"I0000 00:00:1 afterwards\\n")
"""


def stderr_of(last="pass", **environment):
    """What a process prints that logs all of the above, as a user sees it."""
    environment = {k: v for k, v in os.environ.items() if k[:2] != "TF"} | environment
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(last=last), NOISE + WORDS],
        env=environment,
        capture_output=True,
        text=True,
    ).stderr


@pytest.mark.parametrize("level", [{}, {"TF_CPP_MIN_LOG_LEVEL": "3"}])
def test_noise_is_left_out_and_errors_pass(level):
    told = stderr_of(**level)
    assert told == WORDS + "of Python\nI0000 00:00:1 afterwards\n"


@pytest.mark.parametrize("level", ["0", "1"])
def test_who_asks_for_it_gets_it(level):
    assert stderr_of(TF_CPP_MIN_LOG_LEVEL=level).startswith(NOISE + WORDS)


def test_an_exception_is_told_and_the_last_words_of_a_crash():
    assert "ZeroDivisionError" in stderr_of(last="1 / 0")
    assert stderr_of(last="os.abort()") == WORDS + "of Python\n"
