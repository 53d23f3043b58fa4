"""Opening what `qcs_jax.prepare` has written, and what is said of what is damaged."""

import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from qcs_jax.input import prepare, sources
from qcs_jax.system.errors import UserError

# Path -> what is written; class names are sorted, so "angry" is 0.
IMAGES = {
    "train/happy/a.png": 10,
    "train/happy/b.png": 20,
    "train/happy/c.png": 30,
    "train/angry/d.png": 40,
    "train/sad/e.png": 50,
    "test/happy/f.png": 60,
    "test/angry/g.png": 70,
    "test/sad/h.png": 80,
}


@pytest.fixture(scope="module")
def prepared_once(tmp_path_factory):
    """Root of a prepared `image_folder/faces`; shared, so only to be copied."""
    root = tmp_path_factory.mktemp("prepared")
    folder = tmp_path_factory.mktemp("faces")
    for path, grey in IMAGES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 5), (grey, grey, grey)).save(folder / path)
    arguments = ["image_folder/faces", f"--manual_dir={folder}"]
    assert prepare.main([*arguments, f"--data_dir={root}"]) == 0
    return root


@pytest.fixture
def root(prepared_once, tmp_path, monkeypatch):
    """A copy of it, named by TFDS_DATA_DIR."""
    shutil.copytree(prepared_once, tmp_path / "data")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def message(name, split="train"):
    with pytest.raises(UserError) as error:
        sources.open_split(name, split)
    return str(error.value)


def test_opens_a_split(root, monkeypatch):
    monkeypatch.setattr(sources, "_READ_AT_ONCE", 2)  # 5 are 2 blocks and one more
    source = sources.open_split("image_folder/faces", "train")
    assert source.class_names == ("angry", "happy", "sad")
    assert source.name == "image_folder/faces" and source.split == "train"
    assert source.labels.dtype == np.int32
    ids, images = source.ids(range(5)), source.encoded(range(5))
    assert sorted(ids) == sorted(path for path in IMAGES if path.startswith("train"))
    names = [source.class_names[label] for label in source.labels]
    assert names == [path.split("/")[1] for path in ids]
    for path, data in zip(ids, images, strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(data)))
        assert pixels.shape == (5, 6, 3) and (pixels == IMAGES[path]).all()
    order = np.array([2, 0, 2, 1])
    assert source.ids(order) == [ids[i] for i in order]
    assert source.encoded(order) == [images[i] for i in order]
    only = sources.open_split("image_folder", "test")  # a data set of one config
    assert (len(only), only.name) == (3, source.name)
    assert "no split 'validation': it has" in message(source.name, "validation")


def test_labels_are_remembered_until_the_data_set_is_prepared_again(root):
    (folder,) = (root / "image_folder" / "faces").glob("1.*")
    cache = folder / "train.labels.npz"
    expected = sources.open_split("image_folder/faces", "train").labels
    np.testing.assert_array_equal(np.load(cache)["labels"], expected)
    np.savez(cache, labels=expected[::-1])
    reread = sources.open_split("image_folder/faces", "train").labels
    np.testing.assert_array_equal(reread, expected[::-1])
    whole = cache.read_bytes()
    at = whole.index(expected[::-1].tobytes())
    flipped = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    for useless in (b"", b"no array", whole[:-3], flipped):
        cache.write_bytes(useless)
        reread = sources.open_split("image_folder/faces", "train").labels
        np.testing.assert_array_equal(reread, expected)
    np.savez(cache, other=expected)
    sources.open_split("image_folder/faces", "train")
    np.testing.assert_array_equal(np.load(cache)["labels"], expected)


def flip(file, at):
    data = bytearray(file.read_bytes())
    data[at] ^= 0x55
    file.write_bytes(data)


DAMAGE = {
    "flipped": lambda file: flip(file, file.read_bytes().index(b"\x89PNG") + 20),
    "cut": lambda file: os.truncate(file, 70_000),
    "removed": lambda file: file.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_records_are_told_by_their_hashes(root, damage):
    source = sources.open_split("image_folder/faces", "train")
    [file] = (root / "image_folder" / "faces").glob("*/*train.array_record*")
    DAMAGE[damage](file)
    said = "split 'train' of data set image_folder/faces is damaged .*--overwrite"
    with pytest.raises(UserError, match=said):
        sources.open_split("image_folder/faces", "train").encoded(range(len(source)))
    [labels] = (root / "image_folder" / "faces").glob("*/train.labels.npz")
    labels.unlink()
    assert "is damaged" in message("image_folder/faces")


def test_a_damaged_description_is_told(root):
    [folder] = (root / "image_folder" / "faces").glob("1.*")
    (folder / "label.labels.txt").write_text("angry\nhappy\n")
    assert "has label 2, but 2 classes" in message("image_folder/faces")
    for name in ("features.json", "dataset_info.json"):
        os.truncate(folder / name, (folder / name).stat().st_size // 2)
        said = message("image_folder/faces")
        assert "is damaged" in said and "prepare it again with --overwrite" in said
