"""FER2013: the three forms that it comes in, and images in more than one split."""

import io

import numpy as np
import pytest
from copies import FER2013_ROWS, fer2013
from PIL import Image
from qcs_jax.data.fer2013.table import SPLITS

from qcs_jax.system.datasets import DATASETS

CLASS_NAMES = DATASETS["fer2013"].class_names
FOLDERS = {"anger": "angry", "happiness": "happy", "sadness": "sad"}


def folders(root, rows=FER2013_ROWS, names="kaggle"):
    """As Kaggle's release is; or a folder for each split, and names that say less."""
    for number, (usage, label, image) in enumerate(rows):
        name = CLASS_NAMES[label]
        if names == "kaggle":
            split = "train" if usage == "Training" else "test"
            path = root / split / FOLDERS.get(name, name) / f"{usage}_{number}.png"
        else:
            path = root / SPLITS[usage] / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return root


def decoded(examples):
    return {
        (label, np.asarray(Image.open(io.BytesIO(data))).tobytes())
        for label, data in examples.values()
    }


@pytest.mark.parametrize(
    ("write", "form"),
    [
        (fer2013, "fer2013.csv"),
        (fer2013, "icml_face_data.csv"),
        (folders, "kaggle"),
        (folders, "plain"),
    ],
)
def test_every_form_gives_the_same_images(prepare, stored, tmp_path, write, form):
    out = prepare("fer2013", write(tmp_path / "fer", FER2013_ROWS, form))
    assert "0 training images are in the split test, too" in out
    assert "warning: train has 14 images, the published set 28,709 (anger" in out
    assert "Next: qcs-jax train --config=fer2013\n" in out
    for usage, split in SPLITS.items():
        source, examples = stored("fer2013", split)
        assert source.class_names == CLASS_NAMES
        rows = {(label, x.tobytes()) for u, label, x in FER2013_ROWS if u == usage}
        assert decoded(examples) == rows


def test_images_in_two_splits_are_left_out(prepare, refuse, stored, tmp_path):
    rows = FER2013_ROWS.copy()
    shared = [x for usage, _, x in rows if usage == "PrivateTest"][:2]
    # Whatever class they have in training: two of the test, one of them twice.
    rows[0] = ("Training", 0, shared[0])
    rows[2] = ("Training", 1, shared[1])
    rows[4] = ("Training", 2, shared[1])
    root = fer2013(tmp_path / "fer", rows)
    out = prepare("fer2013", root)
    assert "3 training images are in the split test, too" in out
    assert "0 training images are in the split validation, too" in out
    assert "--drop_duplicates leaves them out" in out
    assert len(stored("fer2013", "train")[0]) == 14
    again = ("fer2013", root, "--drop_duplicates")
    assert "is already prepared, from" in refuse(*again)
    assert "left out of training: 3 of them" in prepare(*again, "--overwrite")
    _, examples = stored("fer2013", "train")
    assert len(examples) == 11
    assert not decoded(examples) & decoded(stored("fer2013", "test")[1])
    assert f"from {root} without duplicates." in prepare(*again)


def test_private_test_may_be_missing(prepare, stored, tmp_path):
    rows = [row for row in FER2013_ROWS if row[0] != "PrivateTest"]
    out = prepare("fer2013", fer2013(tmp_path / "fer", rows))
    assert "without the split test" in out
    assert "--config.data.test_split=validation" in out
    assert len(stored("fer2013", "validation")[0]) == 14


def test_a_corrupt_image_is_listed_and_equals_nothing(prepare, stored, tmp_path):
    root = folders(tmp_path / "fer")
    for folder in ("train", "test"):
        next((root / folder / "fear").iterdir()).write_bytes(b"no image")
    out = prepare("fer2013", root, "--drop_duplicates")
    assert "left out of training: 0 of them" in out and "skipped 2 unreadable" in out
    assert len(stored("fer2013", "train")[0]) == 13
