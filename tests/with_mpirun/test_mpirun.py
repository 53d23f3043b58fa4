"""`mpirun` tells the processes of a run who they are."""

import shutil
import subprocess

import fleet
import pytest
from fleet import Fleet

if not shutil.which("mpirun"):
    pytest.skip("starts processes: install Open MPI's mpirun", allow_module_level=True)

# Bound to one core each, they would add up numbers in another order.
MPIRUN = "mpirun --allow-run-as-root --oversubscribe --bind-to none -n 2".split()


def test_two_processes_equal_two_devices(tmp_path):
    command = fleet.command_line(tmp_path / "two", "qcs", "--multihost")
    done = subprocess.run(
        [*MPIRUN, *command], env=fleet.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained 2 epochs") == 1
    with Fleet(tmp_path / "one", variant="qcs", count=1, devices=2) as alone:
        assert alone.ends()[0][0] == 0
    fleet.assert_same(tmp_path / "two", tmp_path / "one")
