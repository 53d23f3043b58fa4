"""What is not installed is told with the extra that brings it."""

import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import saved
from packaging.utils import canonicalize_name

import qcs_jax
from qcs_jax.system import command, extras
from qcs_jax.system.errors import UserError

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def missing(name):
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(
    "module, expected",
    [
        ("orbax.checkpoint", "data sets need orbax: pip install 'qcs_jax[train]'\n"),
        ("sklearn.manifold", "report need sklearn: pip install 'qcs_jax[report]'\n"),
    ],
)
def test_commands_tell_it_in_one_line(module, expected, capsys):
    assert command.run(lambda: missing(module), failure=2) == 2
    [line] = capsys.readouterr().err.splitlines(keepends=True)
    assert line.endswith(expected)


@pytest.mark.parametrize("module", ["qcs_jax.nothing", "grainy", None])
def test_other_modules_are_mistakes_of_the_program(module):
    with pytest.raises(ModuleNotFoundError):
        command.run(lambda: missing(module))


def test_what_is_required_is_not_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorboardX", raising=False)
    extras.require("train")
    assert "tensorboardX" not in sys.modules
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(UserError, match=r"need grain: pip install 'qcs_jax\[train\]'"):
        extras.require("train")


def test_a_checkpoint_of_orbax(tmp_path, monkeypatch):
    run = saved.run(tmp_path / "run", 1)
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    monkeypatch.delitem(sys.modules, "qcs_jax.checkpoint.storage")
    with pytest.raises(UserError, match=r"need orbax: pip install 'qcs_jax\[train\]'"):
        qcs_jax.load(run)


def test_the_extras_are_those_of_the_package():
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    packages = metadata.packages_distributions()
    for extra, (_, modules) in extras._EXTRAS.items():
        lines = project["optional-dependencies"][extra]
        listed = {canonicalize_name(line.partition(">")[0]) for line in lines}
        for module in modules:
            assert listed & {canonicalize_name(name) for name in packages[module]}
