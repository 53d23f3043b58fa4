"""However a command ends: a status, and at most one line."""

import os
import subprocess
import sys

import pytest

from qcs_jax.system import command
from qcs_jax.system.errors import UserError


def fail(error):
    raise error


@pytest.mark.parametrize(
    "error, status, told",
    [
        (None, 0, ""),
        (UserError("no such run: look again"), 1, "error: no such run: look again\n"),
        (PermissionError(13, "Permission denied", "x"), 1, "error: [Errno 13]"),
        (KeyboardInterrupt(), 130, "stopped\n"),
    ],
)
def test_what_a_user_can_act_on_is_one_line(error, status, told, capsys):
    assert command.run(lambda: fail(error) if error else None) == status
    printed = capsys.readouterr().err
    assert printed.startswith(told) and printed.count("\n") == bool(told)


def test_what_is_wrong_in_the_program_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        command.run(lambda: 1 / 0)


def test_a_bug_is_one_line_and_a_file(tmp_path):
    code = "from qcs_jax.system import command; command.start(lambda: 1 / 0)"
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 70 and not done.stdout
    [file] = tmp_path.iterdir()
    assert done.stderr == (
        f"error: ZeroDivisionError: division by zero. This is a bug of qcs_jax: please "
        f"report it, with {file}\n"
    )
    text = file.read_text()
    assert "Traceback" in text and "lambda: 1 / 0" in text


def test_nobody_reads_any_longer():
    """As `| head` that has seen enough."""
    code = "import sys; from qcs_jax.system import command; "
    code += "sys.exit(command.run(lambda: print('line\\n' * 10**6)))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 141
    process.stderr.close()
