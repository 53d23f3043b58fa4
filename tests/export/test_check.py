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


def test_the_network_is_itself(served, one_batch):
    assert check.largest_difference(served, served.run, 0.0) == 0
    normalised = dataclasses.replace(served, preprocess=False)
    assert check.largest_difference(normalised, normalised.run, 0.0) == 0


def test_several_batch_sizes(served):
    seen = []

    def run(images):
        seen.append((images.shape, images.dtype))
        return served.run(images)

    check.largest_difference(served, run, 1e-5)
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
    write_photographs(tmp_path)
    photographs = labelled_images(tmp_path, network.class_names, every_class=False)
    with pytest.raises(NotFiniteError, match="4 of 4 images is not finite"):
        check.measure(network, network.run, *photographs)


def test_one_weight_in_the_wrong_place_is_refused(served, one_batch):
    other = small.classifier()
    head = other.variables["params"]["base"]["vit"]["head"]
    head["kernel"] = head["kernel"].at[0, 0].add(1e-2)
    with pytest.raises(check.ExportError):
        check.largest_difference(served, Served.of(other).run, 1e-5)


def write_photographs(folder):
    for i, name in enumerate(("anger", "fear", "joy", "joy")):
        (folder / name).mkdir(exist_ok=True)
        face = Image.fromarray(small.pixels(20, 20, 3, seed=i))
        face.save(folder / name / f"{i}.png")
    (folder / "joy" / "notes.txt").touch()


def test_accuracy(served, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "_AT_ONCE", 3)
    write_photographs(tmp_path)
    paths, labels = labelled_images(tmp_path, served.class_names, every_class=False)
    assert [path.name for path in paths] == [f"{i}.png" for i in range(4)]
    pixels = np.stack([decode(path.read_bytes(), 36) for path in paths])
    classes = served.run(pixels)["logits"].argmax(axis=1)
    always_joy = {"logits": np.array([[0.0, 0.0, 1.0]])}

    accuracy = check.measure(
        served,
        lambda images: {"logits": always_joy["logits"].repeat(len(images), axis=0)},
        paths,
        labels,
    )
    assert accuracy == check.Accuracy(
        count=4,
        network=np.mean(classes == [0, 1, 2, 2]),
        exported=0.5,
        agreement=np.mean(classes == 2),
    )


def test_accuracy_without_preprocessing(served, tmp_path):
    write_photographs(tmp_path)
    photographs = labelled_images(tmp_path, served.class_names, every_class=False)
    normalised = dataclasses.replace(served, preprocess=False)
    found = check.measure(normalised, normalised.run, *photographs)
    assert found == check.measure(served, served.run, *photographs)


def test_unusable_photographs(served, tmp_path):
    def find():
        return labelled_images(tmp_path, served.class_names, every_class=False)

    with pytest.raises(
        UserError, match=r"has no images .*it needs one folder for each class"
    ):
        find()
    write_photographs(tmp_path)
    (tmp_path / "joy" / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"bad\.jpg: not an image"):
        check.measure(served, served.run, *find())
    (tmp_path / "happiness").mkdir()
    (tmp_path / "happiness" / "0.jpg").touch()
    with pytest.raises(UserError, match="has unknown 'happiness': .* anger, fear"):
        find()
