"""The command line: one clear message for every mistake, and a non-zero exit."""

import os
import pathlib
import subprocess
import sys

import pytest

from qcs_jax import main

ROOT = pathlib.Path(__file__).parent.parent


# What `qcs-jax train` says, too, is in tests/faults/test_command_lines.py.
@pytest.mark.parametrize(
    "line, message",
    [
        ("--config=demo --mode=test", "invalid choice: 'test'"),
        ("--config=demo --multihost --patience=0", "give 1 or more seconds"),
        ("--config=demo --corruptions", "--corruptions is for --mode=eval"),
        ("--config=demo --groups=a.csv", "--groups is for --mode=eval"),
        ("--config=demo --mode=eval --groups=", "--groups= names no file"),
        ("--config=demo --mode=eval --groups=a.csv", "--groups=a.csv: No such file"),
        ("--config=demo --config.data.dir=/none", "qcs-jax prepare synthetic_faces"),
    ],
)
def test_mistakes(line, message, tmp_path, capsys):
    try:
        status = main.main([*line.split(), f"--workdir={tmp_path / 'run'}"])
    except SystemExit as exit:  # as argparse ends
        status = exit.code
    printed = capsys.readouterr().err
    assert status in (1, 2) and printed.count("error: ") == 1
    assert message in printed.partition("error: ")[2]
    assert not any(tmp_path.iterdir()), "nothing is written by a run that cannot be"


def test_processes_without_a_cluster():
    command = [sys.executable, "-m", "qcs_jax.main", "--config=demo", "--multihost"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_NUMPY")}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 1 and ended.stderr.startswith("error: no cluster was ")
    assert ended.stderr.count("\n") == 1
