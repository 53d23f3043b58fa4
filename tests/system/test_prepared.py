"""Which data set a name means, and what is said where there is none."""

import shutil

import pytest

from qcs_jax.system import datasets
from qcs_jax.system.errors import UserError
from qcs_jax.system.files import packaged


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Named by TFDS_DATA_DIR; `image_folder/faces` is prepared there."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    put(tmp_path / "data/image_folder/faces/1.0.0")
    return tmp_path / "data"


def put(version):
    """A version that was written to its end."""
    version.mkdir(parents=True)
    (version / "dataset_info.json").touch()
    return version


def test_a_dataset_stands_for_its_only_config(root):
    for name in ("image_folder/faces", "image_folder"):
        assert datasets.version(name, "") == root / "image_folder/faces/1.0.0"
        assert not datasets.missing(name)
    assert put(root / "toy/3.0.0") == datasets.version("toy", "")
    other = put(root / "image_folder/more/1.0.0")
    with pytest.raises(
        UserError, match="--config.data.name .* image_folder/faces, image_folder/more"
    ):
        datasets.version("image_folder", "")
    assert datasets.version("image_folder/more", "") == other


def test_takes_the_newest_version_that_is_finished(root):
    base = root / "image_folder/faces"
    for unfinished in ("incomplete.A1B2C3_1.0.0", "1.0.0.incompleteA1B2C3", "1.0"):
        put(base / unfinished)
    put(root / "image_folder/half/incomplete.A1B2C3_1.0.0")
    assert datasets.version("image_folder", "") == base / "1.0.0"
    for version in ("1.9.0", "1.10.0"):
        put(base / version)
    assert datasets.version("image_folder/faces", "") == base / "1.10.0"
    for version in ("1.0.0", "1.9.0", "1.10.0"):
        shutil.rmtree(base / version)
    for name in ("image_folder/faces", "image_folder"):
        text = datasets.missing(name)
        assert "is not prepared" in text and "prepared there" not in text


@pytest.mark.parametrize(
    "name, steps",
    [("synthetic_faces/biased", 1), ("image_folder/cats", 2), ("affectnet/7", 3)],
)
def test_a_missing_dataset_tells_the_command(root, tmp_path, name, steps):
    text = datasets.missing(name)
    assert f"{name!r} is not prepared in {root}" in text
    assert "(prepared there: image_folder/faces):" in text
    folder = "" if name.startswith("synthetic") else " --manual_dir=FOLDER"
    assert text.endswith(f"  {steps}. qcs-jax prepare {name}{folder}")
    if steps == 3:  # its owners have terms
        manual = packaged("data") / "affectnet/README.md"
        assert f"{manual} says where" in text and manual.is_file()
    elsewhere = tmp_path / "my data"
    text = datasets.missing(name, str(elsewhere))
    assert text.endswith(f"prepare {name}{folder} --data_dir='{elsewhere}'")
    assert "prepared there" not in text
    for path in ("a/b/c", "", "../toy", "toy/", "./toy"):
        assert "give a name, DATASET or DATASET/CONFIG" in datasets.missing(path)


def test_the_root(monkeypatch):
    monkeypatch.setenv("HOME", "/me")
    for directory, variable, expected in (
        ("~/given", "/set", "/me/given"),
        ("", "~/set", "/me/set"),
        ("", "", "/me/tensorflow_datasets"),
    ):
        monkeypatch.setenv("TFDS_DATA_DIR", variable)
        assert str(datasets.root(directory)) == expected
