"""Mistakes in a configuration are one line that says which."""

import ntpath
import os

import pytest

from qcs_jax.config.flags import divided, read_config
from qcs_jax.system.errors import UserError

FILES = {
    "imports.py": "import nothing_here\n",
    "lines.py": "raise ValueError('one\\ntwo')\n",
    "plain.py": "from qcs_jax.config import base_config as get_config\n",
    "text.txt": "",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with `FILES`."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


# Others are in tests/faults/test_command_lines.py.
@pytest.mark.parametrize(
    "arguments, expected",
    [
        ("demo --config.train.epochs", "Missing value for flag"),
        ("demo --epochs=3", "Unknown command line flag 'epochs'"),
        ("raff:dcs", "--config=raff:dcs: there is no recipe raff: give a file, or"),
        ("text.txt", "--config=text.txt: give a Python file, whose name ends in .py"),
        ("imports.py", "--config=imports.py: ModuleNotFoundError: No module named"),
        ("lines.py", "--config=lines.py: ValueError: one two"),
        ("plain.py:dcs", "--config=plain.py:dcs: this file takes no variant"),
    ],
)
def test_one_line(arguments, expected, folder):
    config, *overrides = arguments.split()
    with pytest.raises(UserError) as raised:
        read_config(config, overrides)
    message = str(raised.value)
    assert message.startswith(expected) and "\n" not in message


def test_fields_are_overridden_with_values_of_their_type(folder):
    overrides = "--config.train.epochs=3 --config.optimizer.decay=1".split()
    c = read_config("plain.py", [*overrides, "--config.train.tensorboard=false"])
    assert (c.train.epochs, c.train.tensorboard) == (3, False)
    assert c.optimizer.decay == 1.0 and type(c.optimizer.decay) is float
    assert c.train.batch_size == 24


@pytest.mark.parametrize("text", ["raf", "raf:dcs", "fer2013:qcs,finetune"])
def test_a_recipe_by_its_name_wherever_one_is(text, tmp_path, monkeypatch):
    name, colon, variant = text.partition(":")
    of_path = read_config(f"configs/{name}.py{colon}{variant}", [])
    monkeypatch.chdir(tmp_path)
    assert read_config(text, []) == of_path
    (tmp_path / name).mkdir()
    assert read_config(text, []) == of_path


def test_a_drive_of_windows_is_no_recipe(monkeypatch):
    monkeypatch.setattr(os.path, "splitdrive", ntpath.splitdrive)
    assert divided(r"C:\mine.py:dcs,tiny") == (r"C:\mine.py", ":", "dcs,tiny")
    assert divided("C:/mine.py") == ("C:/mine.py", "", "")
    assert divided("raf:dcs") == ("raf", ":", "dcs")
