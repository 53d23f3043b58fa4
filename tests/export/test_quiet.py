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
error: there is no \N{LATIN SMALL LETTER E WITH ACUTE}
UserWarning: WARNING: INFO: I0000 00:00:
"""
SCRIPT = """
import os, sys
from qcs_jax.export import savedmodel
with savedmodel.quiet():
    os.write(2, sys.argv[1].encode())
    print("of Python", file=sys.stderr)
    {last}
os.write(2, b"I0000 00:00:1 afterwards\\n")
"""


@pytest.mark.parametrize(
    "last, level, expected",
    [
        ("pass", {}, WORDS + "of Python\nI0000 00:00:1 afterwards\n"),
        ("pass", {"TF_CPP_MIN_LOG_LEVEL": "0"}, NOISE + WORDS),
        ("os.abort()", {"TF_CPP_MIN_LOG_LEVEL": "3"}, WORDS + "of Python\n"),
        ("1 / 0", {}, "ZeroDivisionError"),
    ],
)
def test_noise_is_left_out_and_errors_pass(last, level, expected):
    environment = {k: v for k, v in os.environ.items() if k[:2] != "TF"} | level
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(last=last), NOISE + WORDS],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert expected in done.stderr
    assert (NOISE in done.stderr) == (level.get("TF_CPP_MIN_LOG_LEVEL") == "0")
