"""The command: what it prints, what it leaves behind, how it ends."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from unittest import mock

import copies
import pytest
import tensorflow_datasets as tfds
from qcs_jax.data import generation
from qcs_jax.data.image_folder import image_folder_dataset_builder as folders
from qcs_jax.data.synthetic_faces import synthetic_faces_dataset_builder as faces

from qcs_jax.config import flags
from qcs_jax.evaluate import group_file
from qcs_jax.input import sources
from qcs_jax.system import files

SCRIPT = str(files.packaged("data") / "prepare.py")
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture(autouse=True)
def few_faces(monkeypatch):
    """14 + 7 synthetic faces instead of thousands."""
    for config in faces.Builder.BUILDER_CONFIGS:
        monkeypatch.setattr(config, "sizes", {"train": 14, "test": 7})


@pytest.fixture
def pets(tmp_path):
    root = copies.pets(tmp_path / "pets")
    (root / "train/dog/b.jpg").unlink()
    return root


def test_synthetic_faces_and_what_is_known_of_them(prepare, finished, stored, tmp_path):
    """The groups are those of the features that are stored with each face."""
    out = prepare("synthetic_faces")
    assert "Next: qcs-jax train --config=demo\n" in out
    [line] = [line.split() for line in out.splitlines() if "surprise" in line]
    assert line == ["surprise", "2", "1"]
    assert finished() == ["synthetic_faces/balanced/1.0.0"]
    assert not list(tmp_path.rglob("downloads"))
    path = tmp_path / "prepared/synthetic_faces/balanced/1.0.0/groups.csv"
    assert f"--groups={path}\n" in out
    groups = group_file.read(path)
    assert groups.columns == ("skin", "facial_hair", "glasses", "occlusion")
    features = tfds.builder_from_directory(path.parent).info.features
    assert groups.rows == {
        record["id"].decode(): tuple(
            features[column].int2str(int(record[column])) for column in groups.columns
        )
        for split in ("train", "test")
        for record in stored("synthetic_faces/balanced", split)[0].records
    }
    assert len({skin for skin, *_ in groups.rows.values()}) > 2
    path.unlink()  # as it was prepared before there were groups
    out = prepare("synthetic_faces/balanced")
    assert "already prepared" in out and "surprise" in out
    assert "It has no groups.csv: add --overwrite to prepare it with one." in out
    assert "--groups=" not in out
    prepare("synthetic_faces", "--overwrite")
    assert path.exists()


def test_image_folder(prepare, refuse, finished, pets, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    out = prepare("image_folder", pets)
    assert not list((tmp_path / "temporary").iterdir())
    assert "--config=folder --config.data.name=image_folder/pets\n" in out
    assert "warning: class 'dog' has a single training image" in out
    [total] = [line.split() for line in out.splitlines() if line.startswith("total")]
    assert total == ["total", "3", "2"]
    assert "already prepared" in prepare("image_folder", pets)
    prepare("image_folder/mine", pets)
    prepare("image_folder", pets, "--name=yours")
    names = ["mine/1.0.0", "pets/1.0.0", "yours/1.0.0"]
    assert finished() == [f"image_folder/{name}" for name in names]
    copies.save(pets / "train/dog/new.jpg")
    error = refuse("image_folder", pets)
    assert "has changed since" in error and "--overwrite" in error
    assert "warning" not in prepare("image_folder", pets, "--overwrite")
    (tmp_path / "other").mkdir()
    error = refuse("image_folder", pets.rename(tmp_path / "other" / "pets"))
    assert "already prepared, from" in error and str(pets) in error


def test_an_undivided_folder(prepare, refuse, tmp_path):
    root = tmp_path / "moods"
    for number in range(10):
        for mood in ("glad", "sad"):
            copies.save(root / mood / f"S{number:02}_{mood}.png")
    command = ("image_folder", root)
    out = prepare(*command, "--test_fraction=0.2")
    assert "split by person, since the file names seem to begin with persons" in out
    assert "2 of 10 persons, 4 of 20 images are for testing" in out
    assert "already prepared" in prepare(*command, "--test_fraction=0.2")
    error = refuse(*command, "--test_fraction=0.3")
    assert "image_folder/moods is already prepared, with --test_fraction=0.2" in error
    out = prepare(*command, "--test_fraction=0.3", "--overwrite")
    assert "3 of 10 persons, 6 of 20 images" in out


def test_second_preparation_at_the_same_time_is_refused(refuse, tmp_path):
    place = tmp_path / "prepared/synthetic_faces/balanced"
    with files.exclusive(place, "taken"):
        assert "by another process" in refuse("synthetic_faces")


def test_parquet_on_windows_holds_the_same(prepare, stored, tmp_path, monkeypatch):
    """More images than TFDS writes together; in the same order."""
    for number in range(120):
        copies.save(
            tmp_path / "all" / "train" / "cat" / f"{number}.png", (number, 0, 0)
        )
    for path in ("train/dog/a.png", "test/cat/b.png", "test/dog/c.png"):
        copies.save(tmp_path / "all" / path)
    prepared = []
    for file_format in ("array_record", "parquet"):
        monkeypatch.setattr(generation, "FILE_FORMAT", file_format)
        prepare(f"image_folder/{file_format}", tmp_path / "all")
        images = stored(f"image_folder/{file_format}", "train")[1]
        prepared.append(list(images.items()))
    assert prepared[0] == prepared[1] and len(prepared[0]) == 121
    assert list(tmp_path.rglob("*train.parquet*"))


def test_a_killed_preparation_leaves_nothing_finished(prepare, finished, tmp_path):
    place = tmp_path / "prepared/synthetic_faces/balanced"
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "synthetic_faces"],
        env=ENVIRONMENT | {"TFDS_DATA_DIR": str(tmp_path / "prepared")},
        stderr=subprocess.PIPE,
        text=True,
    )
    seen = ""
    while not re.search(r"Drawing train: .* [1-9]\d*/\d", seen):
        seen += process.stderr.read(1) or pytest.fail(f"it ended: {seen}")
    process.kill()
    process.communicate(timeout=60)
    assert not finished() and list(place.glob("incomplete.*"))
    prepare("synthetic_faces")
    assert [path.name for path in place.iterdir() if path.name != ".lock"] == ["1.0.0"]


@pytest.mark.parametrize("killed", [False, True])
def test_what_is_not_replaced_to_the_end_stays(
    pets, prepare, run, finished, tmp_path, monkeypatch, killed
):
    prepare("image_folder", pets)
    [name] = finished()
    place = tmp_path / "prepared" / name
    if killed:  # while it was replaced
        place.rename(place.with_name(f"replaced.{place.name}"))
        assert "is already prepared" in prepare("image_folder", pets)
    with monkeypatch.context() as patch:
        interrupt = mock.Mock(side_effect=KeyboardInterrupt)
        patch.setattr(folders.Builder, "_generate_examples", interrupt)
        code, _, error = run("image_folder", pets, "--overwrite")
    assert (code, error) == (130, "error: interrupted, nothing was prepared; run again")
    interrupt.assert_called_once()
    assert finished() == [name] and not list(place.parent.glob("incomplete.*"))
    prepare("image_folder", pets, "--overwrite")
    assert [path.name for path in place.parent.glob("*.0.0")] == [place.name]


def test_a_fresh_process_in_a_folder_with_files_of_the_same_names(pets, tmp_path):
    """It prints its own lines and progress bars only; the next step can be pasted."""
    for name in ("prepare.py", "generation.py", "fer2013.py", "data.py"):
        (tmp_path / name).write_text("raise SystemExit('not this file')")
    command = "-m qcs_jax prepare image_folder --manual_dir=pets"
    done = subprocess.run(
        [sys.executable, *command.split(), "--data_dir=my data"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [x for x in done.stderr.replace("\r", "\n").splitlines() if x.strip()]
    assert lines and all(x.startswith(("Checking: ", "Storing ")) for x in lines)
    assert done.stdout.startswith("warning: class 'dog'")
    _, command = done.stdout.splitlines()[-1].split("Next: ")
    program, entry, recipe, *overrides = shlex.split(command)
    assert (program, entry) == ("qcs-jax", "train")
    config = flags.read_config(recipe.removeprefix("--config="), overrides)
    opened = sources.open_split(config.data.name, "test", config.data.dir)
    assert opened.name == "image_folder/pets" and len(opened.labels) == 2
