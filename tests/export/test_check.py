"""What an export must pass before it gets its name, and accuracies."""

import dataclasses

import numpy as np
import pytest
import small
from PIL import Image

from qcs_jax.evaluate.counts import NotFiniteError
from qcs_jax.export import check
from qcs_jax.export.served import Served
from qcs_jax.images.decode import decode
from qcs_jax.images.folder import labelled_images
from qcs_jax.system.errors import UserError


@pytest.fixture(scope="module")
def served():
    return Served.of(small.classifier())


@pytest.fixture
def one_batch(monkeypatch):
    """Instead of three sizes, each to be compiled."""
    monkeypatch.setattr(check, "BATCHES", (3,))


def test_the_network_is_itself(served):
    """With several batch sizes."""
    seen = []

    def run(images):
        seen.append((images.shape, images.dtype))
        return served.run(images)

    assert check.largest_difference(served, run, 0.0) == 0
    assert seen == [((n, 36, 36, 3), np.uint8) for n in (1, 3, 8)]


@pytest.mark.parametrize(
    "name, change",
    [
        ("logits", lambda x: x + 2e-5),
        ("logits", lambda x: x[:, ::-1]),
        ("logits", lambda x: x[:1]),
        ("logits", lambda x: np.where(x == x[-1, 0], np.nan, x)),
        ("probabilities", lambda x: 1 - x),
    ],
)
def test_other_outputs_are_refused(served, one_batch, name, change):
    def run(images):
        outputs = served.run(images)
        return outputs | {name: change(outputs[name])}

    with pytest.raises(check.ExportError, match=f"{name} of random images differ"):
        check.largest_difference(served, run, 1e-5)


def test_a_network_that_overflows_is_refused(one_batch, tmp_path):
    """It would agree with anything that overflows, too."""
    overflowing = small.trained()
    overflowing.variables["params"]["base"]["vit"]["head"]["kernel"][:] = 3e38
    network = Served.of(overflowing)
    with pytest.raises(NotFiniteError, match="3 of 3 images is not finite"):
        check.largest_difference(network, network.run, 1e-5)
    with pytest.raises(NotFiniteError, match="4 of 4 images is not finite"):
        check.accuracies(network, network.run, *photographs(tmp_path, network))


def test_one_weight_in_the_wrong_place_is_refused(served, one_batch):
    other = small.classifier()
    head = other.variables["params"]["base"]["vit"]["head"]
    head["kernel"] = head["kernel"].at[0, 0].add(1e-2)
    with pytest.raises(check.ExportError):
        check.largest_difference(served, Served.of(other).run, 1e-5)


def photographs(folder, served):
    """Four files, and their labels."""
    for i, name in enumerate(("anger", "fear", "joy", "joy")):
        (folder / name).mkdir(exist_ok=True)
        face = Image.fromarray(small.pixels(20, 20, 3, seed=i))
        face.save(folder / name / f"{i}.png")
    return labelled_images(folder, served.class_names, every_class=False)


def test_accuracy(served, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "_AT_ONCE", 3)
    paths, labels = photographs(tmp_path, served)
    pixels = np.stack([decode(path.read_bytes(), 36) for path in paths])
    classes = served.run(pixels)["logits"].argmax(axis=1)

    def always_joy(images):
        return {"logits": np.tile([0.0, 0.0, 1.0], (len(images), 1))}

    expected = np.mean(classes == [0, 1, 2, 2]), 0.5, np.mean(classes == 2)
    assert check.accuracies(served, always_joy, paths, labels) == expected
    normalised = dataclasses.replace(served, preprocess=False)
    expected = expected[0], expected[0], 1
    assert check.accuracies(normalised, normalised.run, paths, labels) == expected
    (tmp_path / "joy" / "3.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"3\.png: not an image"):
        check.accuracies(served, served.run, paths, labels)
