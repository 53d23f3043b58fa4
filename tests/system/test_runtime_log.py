"""What the runtime logs of losses is left out, and nothing else."""

import subprocess
import sys

LOG = b"""hello
W1127 14:57:44.408164 10499 coordination_service.cc:185] [16] Using an experiment
NCCL WARN a cable is loose
W1127 14:58:12.152803 10744 preemption_sync_manager.cc:147] Failed to retrieve
Additional GRPC error information from remote target
:UNKNOWN:Error received from peer
W1127 14:58:12.152904 10744 preemption_notifier.cc:89] Failed to retrieve
Additional GRPC error information from remote target
:UNAVAILABLE:Stream removed (Socket closed)
=== Source Location Trace: ===
external/xla+/xla/tsl/distributed_runtime/rpc/grpc_util.h:89
. This is only expected if one of the tasks is unhealthy. Check the logs.
E1127 14:56:34.167330 10020 other.cc:15] Something else
that takes two lines
E1127 14:57:46.130289 10530 coordination_service_agent.cc:289] Polled an error
that takes two lines
I1127 14:57:46.130300 10530 other.cc:2] Still there
F1127 14:57:46.130330 10530 client.h:80] Terminating process
*** Check failure stack trace: ***
    @     0x7f3071040634  absl::LogMessage::SendToLog()
"""
KEPT = [
    "hello",
    "NCCL WARN a cable is loose",
    "E1127 14:56:34.167330 10020 other.cc:15] Something else",
    "that takes two lines",
    "I1127 14:57:46.130300 10530 other.cc:2] Still there",
]


def test_losses_are_left_out_and_all_else_comes_out():
    code = f"""
import os, sys
from qcs_jax.system.processes import without_losses
with without_losses(lambda: print("aborting", file=sys.stderr)):
    print("python", file=sys.stderr)
    os.write(2, {LOG!r})
print("after", file=sys.stderr)
os.write(2, b"after, too\\n")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout
    *lines, after, last = done.stderr.splitlines()
    of_python = ("python", "aborting")
    assert [line for line in lines if line not in of_python] == KEPT
    assert [line for line in lines if line in of_python] == [*of_python]
    assert (after, last) == ("after", "after, too")
