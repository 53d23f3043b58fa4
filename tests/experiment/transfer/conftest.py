"""A world of small data sets, and a run that was trained on one of them."""

import dataclasses
import shutil

import numpy as np
import pytest
import toy

from qcs_jax.input import sources
from qcs_jax.system import versions
from qcs_jax.system.errors import UserError
from qcs_jax.train import loop


def relabelled(name, class_names, split="test"):
    """The images of `toy`, image i of class i modulo their number."""
    source = toy.source(split)
    labels = np.arange(len(source), dtype=np.int32) % len(class_names)
    return dataclasses.replace(
        source, name=name, class_names=class_names, labels=labels
    )


WORLD = {
    ("toy", "train"): toy.source("train"),
    ("toy", "test"): toy.source("test"),
    ("turned", "test"): relabelled("turned", ("sad", "calm", "glad")),
    ("some", "test"): relabelled("some", ("calm", "joy", "sad", "contempt")),
    ("nothing", "test"): relabelled("nothing", ("tall", "short")),
}

# After these it is right in two of three classes.
TRAINING = {"train.epochs": 12, "optimizer.learning_rate": 2e-3}


def open_split(name, split, directory=""):
    if (name, split) in WORLD:
        return WORLD[name, split]
    if name in {known for known, _ in WORLD}:
        raise UserError(f"data set {name} has no split {split!r}: it has test")
    raise UserError(f"data set {name!r} is not prepared in {directory}:\n  1. do")


@pytest.fixture(autouse=True)
def world(monkeypatch):
    """Splits by data set and name, which are all that is prepared."""
    toy.install(monkeypatch)
    monkeypatch.setattr(sources, "open_split", open_split)
    monkeypatch.setattr(versions, "_commit", lambda: "0" * 40)
    return WORLD


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    with pytest.MonkeyPatch.context() as patch:
        toy.install(patch)
        loop.train_and_evaluate(toy.config(**TRAINING), folder)
    return folder


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    """A folder with runs of the toy data set, where the command is called."""
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        shutil.copytree(trained, tmp_path / "runs" / name)
    return tmp_path
