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


def test_commands_tell_it_in_one_line(capsys):
    assert command.run(lambda: missing("sklearn.manifold"), failure=2) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith('report need sklearn: pip install "qcs_jax[report]"')
    for module in ("qcs_jax.nothing", "grainy", None):  # mistakes of the program
        with pytest.raises(ModuleNotFoundError):
            command.run(lambda name=module: missing(name))


def test_what_is_required_is_not_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorboardX", raising=False)
    extras.require("train")
    assert "tensorboardX" not in sys.modules
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(UserError, match=r'need grain: pip install "qcs_jax\[train\]"'):
        extras.require("train")


def test_a_checkpoint_of_orbax(tmp_path, monkeypatch):
    run = saved.run(tmp_path / "run", 1)
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    monkeypatch.delitem(sys.modules, "qcs_jax.checkpoint.storage")
    monkeypatch.delattr("qcs_jax.checkpoint.storage")
    with pytest.raises(UserError, match=r'need orbax: pip install "qcs_jax\[train\]"'):
        qcs_jax.load(run)


def test_the_extras_are_those_of_the_package():
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    packages = metadata.packages_distributions()
    for extra, (_, modules) in extras._EXTRAS.items():
        lines = project["optional-dependencies"][extra]
        listed = {canonicalize_name(line.partition(">")[0]) for line in lines}
        for module in modules:
            assert listed & {canonicalize_name(name) for name in packages[module]}
