"""The command: what it prints, what it leaves behind, how it fails."""

import fcntl
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import tempfile

import pytest
import tensorflow_datasets as tfds
from PIL import Image
from qcs_jax.data.synthetic_faces import (
    synthetic_faces_dataset_builder as faces_builder,
)

from qcs_jax.config import flags
from qcs_jax.evaluate import group_file
from qcs_jax.input import sources

CHECKOUT = pathlib.Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def few_faces(monkeypatch):
    """14 + 7 synthetic faces instead of thousands."""
    for config in faces_builder.Builder.BUILDER_CONFIGS:
        monkeypatch.setattr(config, "sizes", {"train": 14, "test": 7})


@pytest.fixture
def pets(tmp_path):
    root = tmp_path / "pets"
    for path in (
        "train/cat/a",
        "train/cat/b",
        "train/dog/a",
        "test/cat/a",
        "test/dog/a",
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(f"{root / path}.jpg")
    return root


def finished(root):
    return sorted(
        str(path.parent.relative_to(root))
        for path in root.rglob("dataset_info.json")
        if "incomplete" not in str(path)
    )


def test_synthetic_faces(run, tmp_path):
    code, out, errors = run("synthetic_faces")
    assert (code, errors) == (0, "")
    assert "qcs-jax train --config=demo\n" in out
    assert [line.split() for line in out.splitlines() if "surprise" in line] == [
        ["surprise", "2", "1"]
    ]
    assert finished(tmp_path / "prepared") == ["synthetic_faces/balanced/1.0.0"]
    assert not list(tmp_path.rglob("downloads"))
    before = (tmp_path / "prepared/synthetic_faces/balanced/1.0.0").stat().st_mtime_ns
    code, out, _ = run("synthetic_faces/balanced")
    assert code == 0 and "already prepared" in out and "surprise" in out
    after = (tmp_path / "prepared/synthetic_faces/balanced/1.0.0").stat().st_mtime_ns
    assert after == before


def test_nothing_is_left_in_the_temporary_folder(run, pets, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    assert run("image_folder", f"--manual_dir={pets}")[0] == 0
    assert not list((tmp_path / "temporary").iterdir())


def test_what_is_known_of_the_faces(run, stored, tmp_path):
    """The groups are those of the features that are stored with each face."""
    _, out, _ = run("synthetic_faces")
    path = tmp_path / "prepared/synthetic_faces/balanced/1.0.0/groups.csv"
    assert f"--groups={path}\n" in out
    found = group_file.read(path)
    assert found.columns == ("skin", "facial_hair", "glasses", "occlusion")
    builder = tfds.builder_from_directory(path.parent)
    records = []
    for split in ("train", "test"):
        skip = {"image": tfds.decode.SkipDecoding()}
        records += builder.as_data_source(split, decoders=skip)
    assert found.rows == {
        record["id"].decode(): tuple(
            builder.info.features[column].int2str(int(record[column]))
            for column in found.columns
        )
        for record in records
    }
    assert len({skin for skin, *_ in found.rows.values()}) > 2
    path.unlink()  # as it was prepared before there were groups
    out = run("synthetic_faces")[1]
    assert "It has no groups.csv: add --overwrite to prepare it with one." in out
    assert "--groups=" not in out
    run("synthetic_faces", "--overwrite")
    assert path.exists()
    assert "no groups.csv" not in run("synthetic_faces")[1]


def test_next_step_names_config_and_place(run, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    _, out, _ = run("synthetic_faces/biased", f"--data_dir={elsewhere}")
    assert (
        "--config=demo --config.data.name=synthetic_faces/biased "
        f"--config.data.dir={elsewhere}\n"
    ) in out
    assert finished(elsewhere) == ["synthetic_faces/biased/1.0.0"]


def test_next_step_works_where_it_is_pasted(run, tmp_path, monkeypatch):
    """With folders whose names have spaces, and from outside the checkout."""
    monkeypatch.chdir(tmp_path)
    _, out, _ = run("synthetic_faces", "--data_dir=my data")
    _, command = out.splitlines()[-1].split("Next: ")
    program, entry, recipe, *overrides = shlex.split(command)
    assert (program, entry) == ("qcs-jax", "train")
    config = flags.read_config(recipe.removeprefix("--config="), overrides)
    opened = sources.open_split(config.data.name, "test", config.data.dir)
    assert len(opened.labels) == 7


def test_image_folder(run, pets):
    code, out, errors = run("image_folder", f"--manual_dir={pets}")
    assert (code, errors) == (0, "")
    assert "--config=folder --config.data.name=image_folder/pets\n" in out
    assert "warning: class 'dog' has a single training image" in out
    assert [line.split() for line in out.splitlines() if line.startswith("total")] == [
        ["total", "3", "2"]
    ]
    code, out, _ = run("image_folder", f"--manual_dir={pets}")
    assert code == 0 and "already prepared" in out


def test_an_undivided_folder(run, tmp_path, stored):
    root = tmp_path / "moods"
    for number in range(10):
        for mood in ("glad", "sad"):
            (root / mood).mkdir(parents=True, exist_ok=True)
            image = Image.new("RGB", (9, 9))
            image.save(root / mood / f"S{number:02}_{mood}.png")
    command = ("image_folder", f"--manual_dir={root}")
    code, _, error = run(*command)
    assert code == 1 and "add --test_fraction=0.2" in error
    command += ("--test_fraction=0.2",)
    code, out, _ = run(*command)
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("split by ")]
    assert line == (
        "split by person, since the file names seem to begin with persons, such as "
        "'S00': 2 of 10 persons, 4 of 20 images are for testing"
    )
    assert out.splitlines()[-1] == (
        "Next: qcs-jax train --config=folder --config.data.name=image_folder/moods"
    )
    people = [
        {name.split("/")[1][:3] for name in stored("image_folder/moods", split)[1]}
        for split in ("train", "test")
    ]
    assert [len(found) for found in people] == [8, 2] and not set.intersection(*people)
    code, out, _ = run(*command)
    assert code == 0 and "already prepared" in out
    code, _, error = run(*command[:-1], "--test_fraction=0.3")
    assert code == 1
    assert "image_folder/moods is already prepared, with --test_fraction=0.2" in error
    code, out, _ = run(*command[:-1], "--test_fraction=0.3", "--overwrite")
    assert code == 0 and "3 of 10 persons, 6 of 20 images" in out


def test_two_folders_live_side_by_side(run, pets, tmp_path):
    assert run("image_folder/mine", f"--manual_dir={pets}")[0] == 0
    assert run("image_folder", f"--manual_dir={pets}", "--name=yours")[0] == 0
    assert finished(tmp_path / "prepared") == [
        "image_folder/mine/1.0.0",
        "image_folder/yours/1.0.0",
    ]


def test_changed_folder_asks_for_overwrite(run, pets):
    command = ("image_folder", f"--manual_dir={pets}")
    run(*command)
    Image.new("RGB", (9, 9)).save(pets / "train/dog/new.jpg")
    code, _, error = run(*command)
    assert code == 1 and "has changed since" in error and "--overwrite" in error
    code, out, _ = run(*command, "--overwrite")
    assert code == 0 and "warning" not in out
    assert run(*command)[0] == 0


def test_another_folder_of_the_same_name_is_refused(run, pets, tmp_path):
    run("image_folder", f"--manual_dir={pets}")
    (tmp_path / "other").mkdir()
    moved = pets.rename(tmp_path / "other" / "pets")
    code, _, error = run("image_folder", f"--manual_dir={moved}")
    assert code == 1 and "already prepared, from" in error and str(pets) in error


def test_unreadable_images(run, pets, tmp_path):
    for k in range(2):
        (pets / f"train/cat/bad{k}.jpg").write_text("not an image")
    command = ("image_folder", f"--manual_dir={pets}")
    report = tmp_path / "prepared/image_folder/pets/unreadable.txt"
    code, _, error = run(*command, "--max_unreadable=1")
    assert code == 1 and "2 images are unreadable" in error
    assert str(report) in error and "bad1.jpg\tnot a JPEG" in report.read_text()
    assert not finished(tmp_path / "prepared")
    code, out, _ = run(*command, "--max_unreadable=2")
    assert code == 0 and "skipped 2 unreadable images" in out
    assert [line.split() for line in out.splitlines() if line.startswith("cat")] == [
        ["cat", "2", "1"]
    ]


def test_failed_overwrite_keeps_what_was_prepared(run, pets, tmp_path):
    command = ("image_folder", f"--manual_dir={pets}")
    run(*command)
    (pets / "train/cat/bad.jpg").write_text("not an image")
    assert run(*command, "--overwrite", "--max_unreadable=0")[0] == 1
    assert finished(tmp_path / "prepared") == ["image_folder/pets/1.0.0"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["faces"], "choose one of synthetic_faces, image_folder"),
        (
            ["synthetic_faces/odd"],
            "one of synthetic_faces/balanced, synthetic_faces/biased",
        ),
        (["synthetic_faces", "--manual_dir=x"], "needs no --manual_dir"),
        (["synthetic_faces", "--test_fraction=0.2"], "is for image_folder: leave it"),
        (["image_folder"], "needs --manual_dir=FOLDER"),
        (["image_folder", "--manual_dir=/no/such"], "/no/such is not a folder"),
        (["image_folder/a", "--manual_dir=x", "--name=b"], "give only one"),
        (["image_folder", "--manual_dir=x", "--name=A b"], "a-z, 0-9 and _"),
    ],
)
def test_mistakes_are_one_line_with_the_fix(run, args, message):
    code, out, error = run(*args)
    assert code == 1
    assert message in error and error.count("\n") == 0 and "Traceback" not in out


def test_second_preparation_at_the_same_time_is_refused(run, tmp_path):
    place = tmp_path / "prepared/synthetic_faces/balanced"
    place.mkdir(parents=True)
    with open(place / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, error = run("synthetic_faces")
    assert code == 1 and "by another process" in error


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_preparation_leaves_nothing_finished(run, tmp_path, how):
    place = tmp_path / "prepared/synthetic_faces/balanced"
    process = subprocess.Popen(
        [sys.executable, "data/prepare.py", "synthetic_faces"],
        cwd=CHECKOUT,
        env=os.environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen = ""
    while not re.search(r"Drawing train: .* [1-9]\d*/\d", seen):
        seen += process.stderr.read(1) or pytest.fail(f"it ended: {seen}")
    process.send_signal(how)
    _, stderr = process.communicate(timeout=60)
    assert not finished(tmp_path / "prepared")
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "error: interrupted" in stderr and "Traceback" not in stderr
        assert not list(place.glob("incomplete.*"))
    else:
        assert list(place.glob("incomplete.*"))
    assert run("synthetic_faces")[0] == 0
    assert [path.name for path in place.iterdir() if path.name != ".lock"] == ["1.0.0"]


def test_screen_is_free_of_noise(pets, tmp_path):
    """A fresh process prints its own lines and progress bars only."""
    done = subprocess.run(
        [
            sys.executable,
            "data/prepare.py",
            "image_folder",
            f"--manual_dir={pets}",
            f"--data_dir={tmp_path / 'prepared'}",
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [x for x in done.stderr.replace("\r", "\n").splitlines() if x.strip()]
    assert lines and all(x.startswith(("Checking: ", "Storing ")) for x in lines)
    assert done.stdout.startswith("warning: class 'dog'")
