"""Recipes and builders are in the package, or beside it."""

import pathlib

import pytest

from qcs_jax.system import folders

CHECKOUT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("name, file", [("configs", "raf.py"), ("data", "prepare.py")])
def test_in_a_checkout_they_are_beside_it(name, file):
    assert folders.find(name) == CHECKOUT / name
    assert (folders.find(name) / file).is_file()


def test_in_a_wheel_they_are_in_it_whatever_is_beside(tmp_path, monkeypatch):
    for folder in ("qcs_jax/configs", "configs"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setattr(folders, "_PACKAGE", tmp_path / "qcs_jax")
    assert folders.find("configs") == tmp_path / "qcs_jax/configs"
