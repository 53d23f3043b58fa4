"""The command: what it prints, what it leaves behind, how it fails."""

import fcntl
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile

import pytest
import tensorflow_datasets as tfds
from PIL import Image
from qcs_jax.data.synthetic_faces import synthetic_faces_dataset_builder as faces

from qcs_jax.config import flags
from qcs_jax.evaluate import group_file
from qcs_jax.input import sources
from qcs_jax.system import files

SCRIPT = str(files.packaged("data") / "prepare.py")


@pytest.fixture(autouse=True)
def few_faces(monkeypatch):
    """14 + 7 synthetic faces instead of thousands."""
    for config in faces.Builder.BUILDER_CONFIGS:
        monkeypatch.setattr(config, "sizes", {"train": 14, "test": 7})


@pytest.fixture
def pets(tmp_path):
    root = tmp_path / "pets"
    names = ("train/cat/a", "train/cat/b", "train/dog/a", "test/cat/a", "test/dog/a")
    for path in names:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(f"{root / path}.jpg")
    return root


def finished(root):
    return sorted(
        str(path.parent.relative_to(root))
        for path in root.rglob("dataset_info.json")
        if "incomplete" not in str(path)
    )


def test_synthetic_faces_and_what_is_known_of_them(run, tmp_path):
    """The groups are those of the features that are stored with each face."""
    code, out, errors = run("synthetic_faces")
    assert (code, errors) == (0, "")
    assert "Next: qcs-jax train --config=demo\n" in out
    assert [line.split() for line in out.splitlines() if "surprise" in line] == [
        ["surprise", "2", "1"]
    ]
    assert finished(tmp_path / "prepared") == ["synthetic_faces/balanced/1.0.0"]
    assert not list(tmp_path.rglob("downloads"))
    path = tmp_path / "prepared/synthetic_faces/balanced/1.0.0/groups.csv"
    assert f"--groups={path}\n" in out
    groups = group_file.read(path)
    assert groups.columns == ("skin", "facial_hair", "glasses", "occlusion")
    builder = tfds.builder_from_directory(path.parent)
    records = []
    for split in ("train", "test"):
        skip = {"image": tfds.decode.SkipDecoding()}
        records += builder.as_data_source(split, decoders=skip)
    assert groups.rows == {
        record["id"].decode(): tuple(
            builder.info.features[column].int2str(int(record[column]))
            for column in groups.columns
        )
        for record in records
    }
    assert len({skin for skin, *_ in groups.rows.values()}) > 2
    before = path.parent.stat().st_mtime_ns
    code, out, _ = run("synthetic_faces/balanced")
    assert code == 0 and "already prepared" in out and "surprise" in out
    assert path.parent.stat().st_mtime_ns == before
    path.unlink()  # as it was prepared before there were groups
    out = run("synthetic_faces")[1]
    assert "It has no groups.csv: add --overwrite to prepare it with one." in out
    assert "--groups=" not in out
    run("synthetic_faces", "--overwrite")
    assert path.exists()


def test_next_step_works_where_it_is_pasted(run, tmp_path, monkeypatch):
    """With folders whose names have spaces, and from outside the checkout."""
    monkeypatch.chdir(tmp_path)
    _, out, _ = run("synthetic_faces/biased", "--data_dir=my data")
    assert finished(tmp_path / "my data") == ["synthetic_faces/biased/1.0.0"]
    _, command = out.splitlines()[-1].split("Next: ")
    program, entry, recipe, *overrides = shlex.split(command)
    assert (program, entry) == ("qcs-jax", "train")
    config = flags.read_config(recipe.removeprefix("--config="), overrides)
    opened = sources.open_split(config.data.name, "test", config.data.dir)
    assert opened.name == "synthetic_faces/biased" and len(opened.labels) == 7


def test_image_folder(run, pets, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    command = ("image_folder", f"--manual_dir={pets}")
    code, out, errors = run(*command)
    assert (code, errors) == (0, "")
    assert not list((tmp_path / "temporary").iterdir())
    assert "--config=folder --config.data.name=image_folder/pets\n" in out
    assert "warning: class 'dog' has a single training image" in out
    assert [line.split() for line in out.splitlines() if line.startswith("total")] == [
        ["total", "3", "2"]
    ]
    code, out, _ = run(*command)
    assert code == 0 and "already prepared" in out
    assert run("image_folder/mine", command[1])[0] == 0
    assert run(*command, "--name=yours")[0] == 0
    assert finished(tmp_path / "prepared/image_folder") == [
        "mine/1.0.0",
        "pets/1.0.0",
        "yours/1.0.0",
    ]
    Image.new("RGB", (9, 9)).save(pets / "train/dog/new.jpg")
    code, _, error = run(*command)
    assert code == 1 and "has changed since" in error and "--overwrite" in error
    code, out, _ = run(*command, "--overwrite")
    assert code == 0 and "warning" not in out
    (tmp_path / "other").mkdir()
    moved = pets.rename(tmp_path / "other" / "pets")
    code, _, error = run("image_folder", f"--manual_dir={moved}")
    assert code == 1 and "already prepared, from" in error and str(pets) in error


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
    code, out, _ = run(*command, "--test_fraction=0.2")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("split by ")]
    assert line == (
        "split by person, since the file names seem to begin with persons, such as "
        "'S00': 2 of 10 persons, 4 of 20 images are for testing"
    )
    people = [
        {name.split("/")[1][:3] for name in stored("image_folder/moods", split)[1]}
        for split in ("train", "test")
    ]
    assert list(map(len, people)) == [8, 2] and not set.intersection(*people)
    code, out, _ = run(*command, "--test_fraction=0.2")
    assert code == 0 and "already prepared" in out
    code, _, error = run(*command, "--test_fraction=0.3")
    assert code == 1
    assert "image_folder/moods is already prepared, with --test_fraction=0.2" in error
    code, out, _ = run(*command, "--test_fraction=0.3", "--overwrite")
    assert code == 0 and "3 of 10 persons, 6 of 20 images" in out


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
    # What fails leaves what was prepared before.
    assert run(*command, "--overwrite", "--max_unreadable=0")[0] == 1
    assert finished(tmp_path / "prepared") == ["image_folder/pets/1.0.0"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["faces"], "choose one of synthetic_faces, image_folder"),
        (["synthetic_faces/odd"], "one of synthetic_faces/balanced, synthetic_faces/b"),
        (["synthetic_faces", "--manual_dir=x"], "needs no --manual_dir"),
        (["synthetic_faces", "--test_fraction=0.2"], "is for image_folder: leave it"),
        (["synthetic_faces", "--drop_duplicates"], "--drop_duplicates is for fer2013"),
        (["raf_db/7"], "raf_db has no configs: leave out /7"),
        (["affectnet"], "needs a config: choose one of affectnet/7, affectnet/8"),
        (["affectnet/9"], "no config '9': choose one of affectnet/7, affectnet/8"),
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
        [sys.executable, SCRIPT, "synthetic_faces"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
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


@pytest.mark.parametrize(
    "program", [["-m", "qcs_jax", "prepare"], [SCRIPT]], ids=["module", "script"]
)
def test_a_fresh_process_in_a_folder_with_files_of_the_same_names(
    program, pets, tmp_path
):
    """It prints its own lines and progress bars only."""
    for name in ("prepare.py", "generation.py", "fer2013.py", "data.py"):
        (tmp_path / name).write_text("raise SystemExit('not this file')")
    done = subprocess.run(
        [sys.executable, *program, "image_folder", "--manual_dir=pets", "--data_dir=p"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [x for x in done.stderr.replace("\r", "\n").splitlines() if x.strip()]
    assert lines and all(x.startswith(("Checking: ", "Storing ")) for x in lines)
    assert done.stdout.startswith("warning: class 'dog'")


def test_help_and_a_missing_extra(run, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run("--help")
    assert capsys.readouterr().out.startswith("usage: qcs-jax prepare ")
    for name in [x for x in sys.modules if x.startswith("qcs_jax.data")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    code, _, error = run("raf_db")
    assert code == 1 and error.count("\n") == 0
    assert error.startswith("error: training, its checkpoints and data sets need")
