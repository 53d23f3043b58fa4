"""`qcs-jax`: every command under one name; `python -m qcs_jax.main` is two of them."""

import os
import subprocess
import sys

import pytest

import qcs_jax
from qcs_jax import __main__ as program
from qcs_jax import main


def test_all_commands_are_listed_in_a_line_each(capsys):
    assert program.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in program.COMMANDS:
        assert len([line for line in lines if line.startswith(f"  {name} ")]) == 1
    assert all(len(line) <= 79 for line in lines)
    assert program.main([]) == 2  # nothing was asked for
    assert capsys.readouterr().out.splitlines() == lines
    assert program.main(["--version"]) == 0
    assert capsys.readouterr().out == f"qcs-jax {qcs_jax.__version__}\n"


@pytest.mark.parametrize("name", program.COMMANDS)
def test_every_command_answers_to_its_name(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        program.main([name, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: qcs-jax {name} [-h]")


# What `qcs-jax train` says, too, is in tests/faults/test_command_lines.py.
@pytest.mark.parametrize(
    "flag, message",
    [
        ("--mode=test", "invalid choice: 'test'"),
        ("--corruptions", "--corruptions is for --mode=eval"),
        ("--groups=a.csv", "--groups is for --mode=eval"),
    ],
)
def test_flags_of_a_mode(flag, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main.main(["--config=demo", flag])
    assert message in capsys.readouterr().err


def run(module, *arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_NUMPY")}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_the_module_is_the_same_program():
    done = run("qcs_jax", "predict")
    assert done.returncode == 2 and "usage: qcs-jax predict" in done.stderr


def test_processes_without_a_cluster():
    done = run("qcs_jax.main", "--config=demo", "--multihost")
    assert done.returncode == 1 and done.stderr.startswith("error: no cluster was ")
    assert done.stderr.count("\n") == 1
