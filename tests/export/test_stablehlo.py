"""StableHLO programs of `jax.export`."""

import json
import pathlib
import subprocess
import sys
from importlib import metadata

import jax
import numpy as np
import pytest
import small
from manuals import snippet

import qcs_jax
from qcs_jax.export import stablehlo
from qcs_jax.export.served import PLATFORMS, Served

ROOT = pathlib.Path(qcs_jax.__file__).parents[1]
MANUAL = pathlib.Path(stablehlo.__file__).parent / "README.md"


@pytest.fixture(scope="module")
def classifier():
    return small.classifier()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new") / "fer_stablehlo"
    folder.mkdir()
    stablehlo.write(Served(small.trained()), folder)
    return folder


def test_round_trip(classifier, folder):
    """Any number of faces, odd margins of the crop included."""
    run = stablehlo.load(folder)
    for count in (1, 2, 5):
        faces = small.pixels(count, 36, 36, 3, seed=count)
        expected = [p.probabilities for p in classifier.predict(faces)]
        np.testing.assert_allclose(run(faces)["probabilities"], expected, atol=1e-6)
    assert (folder / "labels.txt").read_text().split() == ["anger", "fear", "joy"]


def test_program(folder, tmp_path):
    """For all platforms, the same each time, without the paths of this machine."""
    stablehlo.write(Served(small.trained()), tmp_path)
    content = (folder / stablehlo.MODEL_FILE).read_bytes()
    assert (tmp_path / stablehlo.MODEL_FILE).read_bytes() == content
    assert str(ROOT).encode() not in content
    exported = jax.export.deserialize(bytearray(content))
    assert exported.platforms == PLATFORMS
    (images,) = exported.in_avals
    assert str(images.shape) == "(b, 36, 36, 3)" and images.dtype == np.uint8


def test_it_says_how_long_it_can_be_read(folder):
    """By versions, from which the manual's table counts; nothing depends on the day."""
    said = json.loads((folder / stablehlo.ABOUT_FILE).read_text("utf-8"))
    versions = {name: metadata.version(name) for name in ("jax", "jaxlib")}
    assert said == {**versions, "compatibility": stablehlo.PROMISE}
    assert "six months" in said["compatibility"]
    assert "three weeks" in said["compatibility"]
    _, promised = MANUAL.read_text("utf-8").split("**How long it can be read.**")
    assert "jaxlib 0.10.2 |" in promised.split("\n## ")[0]


def test_jax_alone_runs_it(classifier, folder, tmp_path):
    """As the manual shows it."""
    face = folder.parent / "face.jpg"
    small.Image.fromarray(small.pixels(45, 50, 3)).save(face)
    code = f"""{snippet(MANUAL, "With JAX alone")}
import sys
assert not {{"flax", "qcs_jax", "tensorflow"}} & sys.modules.keys()
"""
    argv = [sys.executable, "-c", code]
    shown = subprocess.check_output(argv, cwd=folder.parent, text=True)
    expected = classifier.predict(face).probabilities
    assert shown == "".join(
        f"{name:12} {probability:.3f}\n"
        for name, probability in zip(classifier.class_names, expected, strict=True)
    )
