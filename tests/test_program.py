"""`qcs-jax`: every command under one name."""

import subprocess
import sys

import pytest

import qcs_jax
from qcs_jax import __main__ as program


def test_all_commands_are_listed_in_a_line_each(capsys):
    assert program.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in program.COMMANDS:
        assert len([line for line in lines if line.startswith(f"  {name} ")]) == 1
    assert all(len(line) <= 79 for line in lines)
    assert program.main([]) == 2  # nothing was asked for
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize("name", program.COMMANDS)
def test_every_command_answers_to_its_name(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        program.main([name, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: qcs-jax {name} [-h]")


def test_the_version(capsys):
    assert program.main(["--version"]) == 0
    assert capsys.readouterr().out == f"qcs-jax {qcs_jax.__version__}\n"


def test_help_needs_no_jax():
    code = "import sys; from qcs_jax.__main__ import main; main(['--help'])"
    code += "; assert not {'jax', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_module_is_the_same_program():
    command_line = [sys.executable, "-m", "qcs_jax", "predict"]
    done = subprocess.run(command_line, capture_output=True, text=True)
    assert done.returncode == 2 and "usage: qcs-jax predict" in done.stderr
