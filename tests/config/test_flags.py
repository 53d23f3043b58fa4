"""Mistakes in a configuration are one line that says which."""

import pytest

from qcs_jax.config.flags import read_config
from qcs_jax.system.errors import UserError

FILES = {
    "zero.py": "def get_config():\n    return 1 / 0\n",
    "imports.py": "import nothing_here\n",
    "lines.py": "raise ValueError('one\\ntwo')\n",
    "plain.py": "from qcs_jax.config import base_config as get_config\n",
    "text.txt": "",
}
RECIPES = "recipe: affectnet7, affectnet8, demo, fer2013, ferplus, folder, raf"


def read(tmp_path, config, *overrides):
    """Reads one of `FILES`, or of the recipes of the project."""
    if config.partition(":")[0] in FILES:
        for name, text in FILES.items():
            (tmp_path / name).write_text(text)
        config = f"{tmp_path}/{config}"
    return read_config(config, overrides)


# Others are in tests/faults/test_command_lines.py.
@pytest.mark.parametrize(
    "arguments, expected",
    [
        ("configs/demo.py --config.workdir=3", "there is no field 'workdir' to set"),
        ("configs/demo.py --config.train.epochs", "Missing value for flag"),
        ("configs/demo.py --epochs=3", "Unknown command line flag 'epochs'"),
        ("configs/demo.py stray --config.seed=3", "unknown argument stray; fields are"),
        ("configs/nothing.py:qcs", "there is no file configs/nothing.py"),
        (
            "raff:dcs",
            f"there is no recipe raff: give a file, or the name of a {RECIPES}",
        ),
        ("raf:foo", "no variant 'foo': give baseline, dcs, qcs, alone or"),
        ("text.txt", "give a Python file, whose name ends in .py"),
        ("zero.py", "ZeroDivisionError: division by zero"),
        ("imports.py", "ModuleNotFoundError: No module named"),
        ("lines.py", "ValueError: one two"),
        ("plain.py:dcs", "this file takes no variant: leave out :dcs"),
    ],
)
def test_one_line(arguments, expected, tmp_path):
    with pytest.raises(UserError) as raised:
        read(tmp_path, *arguments.split())
    message = str(raised.value)
    cause = message.removeprefix(f"--config={tmp_path}/")
    cause = cause.partition(": ")[2] if message.startswith("--config=") else message
    assert cause.startswith(expected) and "\n" not in message


def test_fields_are_overridden_with_values_of_their_type(tmp_path):
    overrides = "--config.train.epochs=3 --config.optimizer.decay=1".split()
    c = read(tmp_path, "plain.py", *overrides, "--config.train.tensorboard=false")
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
