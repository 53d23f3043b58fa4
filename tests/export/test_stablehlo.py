"""StableHLO programs of `jax.export`."""

import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
import small
from manuals import snippet

import qcs_jax
from qcs_jax.export import stablehlo
from qcs_jax.export.served import PLATFORMS, Served
from qcs_jax.predict.classifier import Classifier

ROOT = pathlib.Path(qcs_jax.__file__).parents[1]
MANUAL = pathlib.Path(stablehlo.__file__).parent / "README.md"


@pytest.fixture(scope="module")
def classifier():
    return small.classifier()


def test_round_trip(classifier, tmp_path):
    """Any number of faces, odd margins of the crop included."""
    stablehlo.write(Served.of(classifier), tmp_path)
    run = stablehlo.load(tmp_path)
    for count in (1, 2, 5):
        faces = small.pixels(count, 36, 36, 3, seed=count)
        expected = [p.probabilities for p in classifier.predict(faces)]
        np.testing.assert_allclose(run(faces)["probabilities"], expected, atol=1e-6)
    assert (tmp_path / "labels.txt").read_text().split() == ["anger", "fear", "joy"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "model.stablehlo",
        "labels.txt",
    }


def test_round_trip_without_preprocessing(classifier, tmp_path):
    stablehlo.write(Served.of(classifier, preprocess=False), tmp_path)
    images = small.images(3, 32, 32, 3)
    outputs = stablehlo.load(tmp_path)(images)
    expected = classifier.logits(images)
    np.testing.assert_allclose(outputs["logits"], expected, atol=1e-5)
    np.testing.assert_allclose(
        outputs["probabilities"], jax.nn.softmax(expected), atol=1e-6
    )


def test_bfloat16_is_served_in_float32(classifier):
    trained = small.trained()
    vars(trained)["model"] = trained.model.clone(dtype=jax.numpy.bfloat16)
    low = Classifier(trained)
    faces = small.pixels(2, 36, 36, 3)
    found, expected = (Served.of(c).run(faces)["logits"] for c in (low, classifier))
    np.testing.assert_array_equal(found, expected)


def test_program(classifier, tmp_path):
    """For all platforms, the same each time, without the paths of this machine."""
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        stablehlo.write(Served.of(classifier), tmp_path / name)
        contents.append((tmp_path / name / stablehlo.MODEL_FILE).read_bytes())
    assert contents[0] == contents[1]
    assert str(ROOT).encode() not in contents[0]
    exported = jax.export.deserialize(bytearray(contents[0]))
    assert exported.platforms == PLATFORMS
    (images,) = exported.in_avals
    assert str(images.shape) == "(b, 36, 36, 3)" and images.dtype == np.uint8


def test_jax_alone_runs_it(classifier, tmp_path):
    """As the manual shows it."""
    (tmp_path / "fer_stablehlo").mkdir()
    stablehlo.write(Served.of(classifier), tmp_path / "fer_stablehlo")
    face = tmp_path / "face.jpg"
    small.Image.fromarray(small.pixels(45, 50, 3)).save(face)
    code = f"""{snippet(MANUAL, "With JAX alone")}
import sys
np.save("out.npy", outputs["probabilities"])
assert not {{"flax", "qcs_jax", "tensorflow"}} & sys.modules.keys()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    expected = classifier.predict(face).probabilities
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), [expected], atol=1e-6)
    assert done.stdout == "".join(
        f"{name:12} {probability:.3f}\n"
        for name, probability in zip(classifier.class_names, expected, strict=True)
    )
