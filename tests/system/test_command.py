"""However a command ends: a status, and at most one line."""

import os
import subprocess
import sys

import pytest

from qcs_jax.system import command
from qcs_jax.system.errors import UserError

CODE = "import sys; from qcs_jax.system import command; "


@pytest.mark.parametrize(
    "error, status, expected",
    [
        (None, 0, ""),
        (UserError("no such run: look again"), 1, "error: no such run: look again\n"),
        (PermissionError(13, "Permission denied", "x"), 1, "error: [Errno 13]"),
        (KeyboardInterrupt(), 130, "stopped\n"),
    ],
)
def test_what_a_user_can_act_on_is_one_line(error, status, expected, capsys):
    def work():
        if error:
            raise error

    assert command.run(work) == status
    printed = capsys.readouterr().err
    assert printed.startswith(expected) and printed.count("\n") == bool(expected)


def start(code, **environment):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment
    argv, pipe = [sys.executable, "-c", CODE + code], subprocess.PIPE
    return subprocess.Popen(argv, stdout=pipe, stderr=pipe, env=environment, text=True)


def test_a_bug_is_one_line_and_a_file(tmp_path):
    code = "command.start(lambda: command.run(lambda: 1 / 0))"
    with start(code, TMPDIR=str(tmp_path)) as process:
        out, err = process.communicate()
    assert process.returncode == 70 and not out
    [file] = tmp_path.iterdir()
    assert err.startswith("error: ZeroDivisionError: division by zero. This is a bug")
    assert err.endswith(f"report it, with {file}\n") and err.count("\n") == 1
    text = file.read_text()
    assert "Traceback" in text and "lambda: 1 / 0" in text


def test_nobody_reads_any_longer():
    """As `| head` that has seen enough."""
    code = "sys.exit(command.run(lambda: print('line\\n' * 10**6)))"
    with start(code) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait() == 141


@pytest.mark.parametrize(
    "encoding, expected",
    [("utf-8", "é 你 ".encode() + b"\xff"), ("cp1252", b"\xe9 " + rb"\u4f60 \udcff")],
)
def test_letters_that_a_pipe_lacks(encoding, expected):
    """Python writes the code page to a pipe of Windows."""
    code = "command.start(lambda: print('\u00e9', '\u4f60', chr(0xdcff)))"
    with start(code, PYTHONIOENCODING=encoding) as process:
        assert process.stdout.buffer.read().rstrip() == expected
        assert not process.stderr.read() and process.wait() == 0


@pytest.mark.parametrize(
    "platform, expected",
    [
        ("linux", r"--config=raf:dcs '--workdir=C:\my runs\a'"),
        ("win32", r'--config=raf:dcs "--workdir=C:\my runs\a"'),
    ],
)
def test_what_is_to_be_typed_is_quoted_as_the_system_has_it(
    platform, expected, monkeypatch
):
    monkeypatch.setattr(sys, "platform", platform)
    assert command.typed("--config=raf:dcs", r"--workdir=C:\my runs\a") == expected
