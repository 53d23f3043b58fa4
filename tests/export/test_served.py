"""What an export must pass before it gets its name, and accuracies."""

import jax
import numpy as np
import pytest
import small
from PIL import Image

from qcs_jax.evaluate.counts import NotFiniteError
from qcs_jax.export import served
from qcs_jax.export.served import Served, accuracies, largest_difference
from qcs_jax.images.decode import labelled_images
from qcs_jax.system.errors import UserError


@pytest.fixture(scope="module")
def network():
    return Served(small.trained())


@pytest.fixture
def one_batch(monkeypatch):
    """Instead of three sizes, each to be compiled."""
    monkeypatch.setattr(served, "BATCHES", (3,))


def test_the_network_is_itself(network):
    """With several batch sizes, and in float32 whatever it was trained in."""
    seen = []

    def run(images):
        seen.append((images.shape, images.dtype))
        return network.run(images)

    assert largest_difference(network, run, 0.0) == 0
    assert seen == [((n, 36, 36, 3), np.uint8) for n in (1, 3, 8)]
    low = small.trained()
    vars(low)["model"] = low.model.clone(dtype=jax.numpy.bfloat16)
    assert Served(low).model == network.model


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
def test_other_outputs_are_refused(network, one_batch, name, change):
    def run(images):
        outputs = network.run(images)
        return outputs | {name: change(outputs[name])}

    with pytest.raises(served.ExportError, match=f"{name} of random images differ"):
        largest_difference(network, run, 1e-5)


def test_a_network_that_overflows_is_refused(one_batch, tmp_path):
    """It would agree with anything that overflows, too."""
    trained = small.trained()
    trained.variables["params"]["base"]["vit"]["head"]["kernel"][:] = 3e38
    overflowing = Served(trained)
    with pytest.raises(NotFiniteError, match="3 of 3 images is not finite"):
        largest_difference(overflowing, overflowing.run, 1e-5)
    with pytest.raises(NotFiniteError, match="4 of 4 images is not finite"):
        accuracies(overflowing, overflowing.run, *photographs(tmp_path))


def photographs(folder):
    """Four files, and their labels."""
    for i, name in enumerate(("anger", "fear", "joy", "joy")):
        (folder / name).mkdir(exist_ok=True)
        face = Image.fromarray(small.pixels(20, 20, 3, seed=i))
        face.save(folder / name / f"{i}.png")
    return labelled_images(folder, ("anger", "fear", "joy"), every_class=False)


def test_accuracy(network, tmp_path, monkeypatch):
    monkeypatch.setattr(served, "_AT_ONCE", 3)
    paths, labels = photographs(tmp_path)
    classes = network.run(served.read_pixels(paths, 36))["logits"].argmax(axis=1)

    def always_joy(images):
        return {"logits": np.tile([0.0, 0.0, 1.0], (len(images), 1))}

    expected = np.mean(classes == [0, 1, 2, 2]), 0.5, np.mean(classes == 2)
    assert accuracies(network, always_joy, paths, labels) == expected
    (tmp_path / "joy" / "3.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"3\.png: not an image"):
        accuracies(network, network.run, paths, labels)
