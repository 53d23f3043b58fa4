"""Opening what `qcs_jax.prepare` has written, and what is said when it has not."""

import io
import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from qcs_jax.input import sources
from qcs_jax.system.errors import UserError

CHECKOUT = pathlib.Path(sources.__file__).parents[2]
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
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(CHECKOUT / "data")
        import prepare

        arguments = ["image_folder/faces", f"--manual_dir={folder}"]
        assert prepare.main([*arguments, f"--data_dir={root}"]) == 0
    return root


@pytest.fixture
def root(prepared_once, tmp_path, monkeypatch):
    """A copy of it, named by TFDS_DATA_DIR."""
    shutil.copytree(prepared_once, tmp_path / "data")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def message(name, split="train", directory=""):
    with pytest.raises(UserError) as error:
        sources.open_split(name, split, str(directory))
    return str(error.value)


@pytest.mark.parametrize("split", ["train", "test"])
def test_opens_a_split(root, split):
    source = sources.open_split("image_folder/faces", split)
    expected = {path: grey for path, grey in IMAGES.items() if path.startswith(split)}
    everything = range(len(source))
    assert source.class_names == ("angry", "happy", "sad")
    assert source.name == "image_folder/faces" and source.split == split
    assert source.labels.dtype == np.int32
    ids = source.ids(everything)
    assert sorted(ids) == sorted(expected)
    names = [source.class_names[label] for label in source.labels]
    assert names == [path.split("/")[1] for path in ids]
    for path, data in zip(ids, source.encoded(everything), strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(data)))
        assert pixels.shape == (5, 6, 3) and (pixels == expected[path]).all()


def test_reads_examples_in_any_order(root):
    source = sources.open_split("image_folder/faces", "train")
    order = np.array([4, 0, 4, 2])
    ids, images = source.ids(range(5)), source.encoded(range(5))
    assert source.ids(order) == [ids[i] for i in order]
    assert source.encoded(order) == [images[i] for i in order]


@pytest.mark.parametrize("at_once", [1, 2, 5, 6])
def test_labels_do_not_depend_on_how_they_are_read(root, monkeypatch, at_once):
    expected = sources.open_split("image_folder/faces", "train").labels
    monkeypatch.setattr(sources, "_READ_AT_ONCE", at_once)
    labels = sources.open_split("image_folder/faces", "train").labels
    np.testing.assert_array_equal(labels, expected)


def test_a_dataset_stands_for_its_only_config(root):
    assert len(sources.open_split("image_folder", "test")) == 3


def test_several_configs_are_listed(root):
    shutil.copytree(root / "image_folder/faces", root / "image_folder/more")
    text = message("image_folder")
    assert "image_folder/faces, image_folder/more" in text
    assert "--config.data.name" in text
    assert len(sources.open_split("image_folder/more", "train")) == 5


def test_takes_the_newest_version(root):
    base = root / "image_folder/faces"
    for version in ("1.9.0", "1.10.0"):
        shutil.copytree(base / "1.0.0", base / version)
    for file in base.glob("1.[09]*.0/dataset_info.json"):
        if file.parent.name != "1.10.0":
            file.write_text("not what is opened")
    assert len(sources.open_split("image_folder/faces", "train")) == 5


def test_an_unknown_split_names_the_others(root):
    text = message("image_folder/faces", "validation")
    assert "no split 'validation'" in text and "train" in text and "test" in text


@pytest.mark.parametrize(
    "name,command",
    [
        ("synthetic_faces", "qcs_jax.prepare synthetic_faces"),
        ("synthetic_faces/biased", "qcs_jax.prepare synthetic_faces/biased"),
        ("image_folder/cats", "qcs_jax.prepare image_folder/cats --manual_dir=FOLDER"),
        ("raf_db", "qcs_jax.prepare raf_db --manual_dir=FOLDER"),
        ("affectnet/8", "qcs_jax.prepare affectnet/8 --manual_dir=FOLDER"),
    ],
)
def test_a_missing_dataset_tells_the_command(root, name, command):
    text = message(name)
    assert f"{name!r} is not prepared in {root}" in text
    assert text.endswith(f". python -m {command}")
    assert "(prepared there: image_folder/faces):" in text


@pytest.mark.parametrize("name", ["raf_db", "ferplus", "affectnet/7"])
def test_a_licensed_dataset_takes_three_steps(root, name):
    lines = message(name).splitlines()[1:]
    assert [line.split(".")[0].strip() for line in lines] == ["1", "2", "3"]
    readme = CHECKOUT / lines[0].split()[-3].removesuffix(":")
    assert "says where" in lines[0] and readme.name == "README.md" and readme.is_file()


def test_the_command_names_another_place(root, tmp_path):
    elsewhere = tmp_path / "my data"
    text = message("synthetic_faces", directory=elsewhere)
    assert text.endswith(f"prepare synthetic_faces --data_dir='{elsewhere}'")
    assert "prepared there" not in text


@pytest.mark.parametrize(
    "unfinished", ["incomplete.A1B2C3_1.0.0", "1.0.0.incompleteA1B2C3", "1.0"]
)
def test_an_unfinished_version_does_not_count(root, unfinished):
    base = root / "image_folder/faces"
    shutil.copytree(base / "1.0.0", base / unfinished)
    (base / unfinished / "dataset_info.json").write_text("half a file")
    assert len(sources.open_split("image_folder/faces", "train")) == 5
    shutil.rmtree(base / "1.0.0")
    for name in ("image_folder/faces", "image_folder"):
        text = message(name)
        assert "is not prepared" in text and "prepared there" not in text


def test_an_unfinished_config_is_not_a_choice(root):
    base = root / "image_folder"
    shutil.copytree(base / "faces/1.0.0", base / "half/incomplete.A1B2C3_1.0.0")
    assert len(sources.open_split("image_folder", "train")) == 5


@pytest.mark.parametrize(
    "directory,variable,expected",
    [
        ("/given", "/set", "/given"),
        ("~/given", "", "/users/me/given"),
        ("", "/set", "/set"),
        ("", "~/set", "/users/me/set"),
        ("", "", "/users/me/tensorflow_datasets"),
        ("", None, "/users/me/tensorflow_datasets"),
    ],
)
def test_data_root(monkeypatch, directory, variable, expected):
    monkeypatch.setenv("HOME", "/users/me")
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    if variable is not None:
        monkeypatch.setenv("TFDS_DATA_DIR", variable)
    assert str(sources.data_root(directory)) == expected


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
    assert not list(folder.glob("*.tmp"))


def flip(file, at):
    data = bytearray(file.read_bytes())
    data[at] ^= 0x55
    file.write_bytes(data)


DAMAGE = {
    "flipped": lambda file: flip(file, file.read_bytes().index(b"\x89PNG") + 20),
    "cut": lambda file: os.truncate(file, 70_000),
    "emptied": lambda file: os.truncate(file, 0),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"x"),
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


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
def test_a_damaged_description_is_told(root, name):
    [file] = (root / "image_folder" / "faces").glob(f"*/{name}")
    os.truncate(file, file.stat().st_size // 2)
    said = message("image_folder/faces")
    assert "is damaged" in said and "prepare it again with --overwrite" in said


def test_a_label_of_no_class_is_told(root):
    [file] = (root / "image_folder" / "faces").glob("*/label.labels.txt")
    file.write_text("angry\nhappy\n")
    assert "has label 2, but 2 classes" in message("image_folder/faces")
