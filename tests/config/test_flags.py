"""Mistakes in a configuration are one line that says which."""

import pytest
from absl import flags
from ml_collections import config_flags

from qcs_jax.config import flags as flag_errors

BROKEN = {
    "zero.py": "def get_config():\n    return 1 / 0\n",
    "syntax.py": "def get_config(:\n",
    "imports.py": "import nothing_here\n",
}


def message(*arguments):
    values, argv = flags.FlagValues(), ["main", *arguments]
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
    with pytest.raises(Exception) as raised:
        values(argv)
        _ = values.config.name
    return flag_errors.message(raised.value)


@pytest.mark.filterwarnings("ignore:.*load_module.*:DeprecationWarning")
@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--config=configs/raf.py:foo"], "no variant 'foo': give baseline, dcs, qcs,"),
        (
            ["--config=configs/demo.py", "--config.workdir=3"],
            "there is no field 'workdir' to set",
        ),
        (
            ["--config=configs/demo.py", "--config.train.epoch=3"],
            """'epoch' Did you mean "epochs" instead of "epoch"?""",
        ),
        (
            ["--config=configs/demo.py", "--config.train.epochs=three"],
            "flag --config.train.epochs=three: invalid literal",
        ),
        (["--config=zero.py"], "ZeroDivisionError: division by zero"),
        (["--config=syntax.py"], "SyntaxError: invalid syntax (syntax.py, line 1)"),
        (["--config=imports.py"], "ModuleNotFoundError: No module named"),
    ],
    ids=lambda x: x[-1] if isinstance(x, list) else None,
)
def test_one_line(arguments, expected, tmp_path, monkeypatch):
    for name, text in BROKEN.items():
        (tmp_path / name).write_text(text)
        arguments = [a.replace(f"={name}", f"={tmp_path / name}") for a in arguments]
    told = message(*arguments)
    assert told.startswith(expected) and "\n" not in told and "Traceback" not in told
