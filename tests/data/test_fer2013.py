"""FER2013: the three forms that it comes in, and images in more than one split."""

import io

import numpy as np
import pytest
from PIL import Image
from qcs_jax.data.fer2013 import table as original

from qcs_jax.system.datasets import DATASETS

USAGES = tuple(original.SPLITS)
FOLDERS = {
    "anger": "angry",
    "happiness": "happy",
    "sadness": "sad",
}


def pixels(seed):
    return np.random.default_rng(seed).integers(0, 256, (48, 48), np.uint8)


def ordinary_rows():
    """Usage, label and pixels: two images a class and split, all different."""
    keys = [(usage, label, k) for usage in USAGES for label in range(7) for k in (0, 1)]
    return [(u, label, pixels(seed)) for seed, (u, label, _) in enumerate(keys)]


def write_table(root, rows, name="fer2013.csv"):
    root.mkdir(exist_ok=True)
    blank = name != "fer2013.csv"
    lines = ["emotion, Usage, pixels" if blank else "emotion,pixels,Usage"]
    for usage, label, image in rows:
        text = image if isinstance(image, str) else " ".join(map(str, image.ravel()))
        lines.append(f"{label},{usage},{text}" if blank else f"{label},{text},{usage}")
    (root / name).write_text("\n".join(lines) + "\n")
    return root


def write_folders(root, rows, names="kaggle"):
    """As Kaggle's release is; or a folder for each split, and names that say less."""
    for number, (usage, label, image) in enumerate(rows):
        name = DATASETS["fer2013"].class_names[label]
        if names == "kaggle":
            split = "train" if usage == "Training" else "test"
            path = root / split / FOLDERS.get(name, name) / f"{usage}_{number}.png"
        else:
            path = root / original.SPLITS[usage] / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return root


FORMS = {
    "fer2013.csv": write_table,
    "icml_face_data.csv": lambda root, rows: write_table(
        root, rows, "icml_face_data.csv"
    ),
    "folders": write_folders,
    "validation": lambda root, rows: write_folders(root, rows, "plain"),
}


def decoded(examples):
    return {
        (label, np.asarray(Image.open(io.BytesIO(data))).tobytes())
        for label, data in examples.values()
    }


def test_the_published_counts_add_up():
    totals = {
        split: sum(counts) for split, counts in DATASETS["fer2013"].published.items()
    }
    assert totals == {"train": 28_709, "validation": 3_589, "test": 3_589}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_images(run, stored, tmp_path, form):
    rows = ordinary_rows()
    root = FORMS[form](tmp_path / "fer", rows)
    code, out, error = run("fer2013", f"--manual_dir={root}")
    assert (code, error) == (0, "")
    assert "0 training images are in the split test, too" in out
    assert "warning: train has 14 images, the published set 28,709 (anger" in out
    assert "Next: qcs-jax train --config=fer2013\n" in out
    for usage, split in original.SPLITS.items():
        source, examples = stored("fer2013", split)
        assert source.class_names == DATASETS["fer2013"].class_names
        wanted = {(label, x.tobytes()) for u, label, x in rows if u == usage}
        assert decoded(examples) == wanted


def test_images_in_two_splits_are_counted_and_left_out(run, stored, tmp_path):
    rows = ordinary_rows()
    shared = [x for usage, _, x in rows if usage == "PrivateTest"][:2]
    # Whatever class they have in training: two of the test, one of them twice.
    rows[0] = ("Training", 0, shared[0])
    rows[2] = ("Training", 1, shared[1])
    rows[4] = ("Training", 2, shared[1])
    root = write_table(tmp_path / "fer", rows)
    code, out, _ = run("fer2013", f"--manual_dir={root}")
    assert code == 0
    assert "3 training images are in the split test, too" in out
    assert "0 training images are in the split validation, too" in out
    assert "--drop_duplicates leaves them out" in out
    assert len(stored("fer2013", "train")[0]) == 14
    again = ("fer2013", f"--manual_dir={root}", "--drop_duplicates")
    code, _, error = run(*again)
    assert code == 1 and "is already prepared, from" in error and "--overwrite" in error
    code, out, _ = run(*again, "--overwrite")
    assert code == 0 and "left out of training: 3 of them" in out
    _, examples = stored("fer2013", "train")
    assert len(examples) == 11
    assert not decoded(examples) & decoded(stored("fer2013", "test")[1])
    code, out, _ = run(*again)
    assert code == 0 and f"from {root} without duplicates." in out


def test_a_copy_without_the_private_test_is_told(run, stored, tmp_path):
    rows = [row for row in ordinary_rows() if row[0] != "PrivateTest"]
    root = write_table(tmp_path / "fer", rows)
    code, out, _ = run("fer2013", f"--manual_dir={root}")
    assert code == 0 and "without the split test" in out
    assert "--config.data.test_split=validation" in out
    assert len(stored("fer2013", "validation")[0]) == 14


@pytest.mark.parametrize("usage", ["Training", "PublicTest"])
def test_a_copy_without_another_split_is_refused(run, tmp_path, usage):
    rows = [row for row in ordinary_rows() if row[0] != usage]
    code, _, error = run("fer2013", f"--manual_dir={write_table(tmp_path / 'f', rows)}")
    assert code == 1
    assert f"has no image of the split '{original.SPLITS[usage]}'" in error
    assert "https://www.kaggle.com/c/" in error


def test_nothing_there_says_what_is_expected(run, tmp_path):
    (tmp_path / "fer").mkdir()
    code, _, error = run("fer2013", f"--manual_dir={tmp_path / 'fer'}")
    assert code == 1 and "has no fer2013.csv or icml_face_data.csv, and no" in error
    assert "FOLDER/train/CLASS/*.jpg" in error


def replaced(index, usage=None, label=None, image=None):
    rows = ordinary_rows()
    old = rows[index]
    rows[index] = (usage or old[0], old[1] if label is None else label, image or old[2])
    return rows


@pytest.mark.parametrize(
    "rows, message",
    [
        (replaced(3, label=7), "line 5: the emotion '7' is not in 0..6"),
        (replaced(3, label="joy"), "the emotion 'joy' is not in 0..6"),
        (replaced(3, usage="Test"), "the usage 'Test' is none of Training, PublicTest"),
        (replaced(3, image="1,2"), "line 5: has 4 fields"),
    ],
)
def test_rows_of_another_table_are_refused(run, tmp_path, rows, message):
    code, _, error = run("fer2013", f"--manual_dir={write_table(tmp_path / 'f', rows)}")
    assert code == 1 and message in error and "use the original file" in error
    assert not list(tmp_path.rglob("dataset_info.json"))


def test_another_table_under_the_name_is_refused(run, tmp_path):
    root = tmp_path / "fer"
    root.mkdir()
    (root / "fer2013.csv").write_text("id,label\n1,2\n")
    code, _, error = run("fer2013", f"--manual_dir={root}")
    assert code == 1 and "has the columns id, label instead of emotion, pixels" in error


@pytest.mark.parametrize("damage", ["1 2 3", "1 2 x", "256 " * 2304])
def test_damaged_pixels_are_listed(run, stored, tmp_path, damage):
    root = write_table(tmp_path / "fer", replaced(3, image=damage))
    code, out, _ = run("fer2013", f"--manual_dir={root}")
    assert code == 0 and "skipped 1 unreadable images" in out
    listed = (tmp_path / "prepared/fer2013/unreadable.txt").read_text()
    assert "fer2013.csv, line 5" in listed
    assert len(stored("fer2013", "train")[0]) == 13
    assert run("fer2013", f"--manual_dir={root}", "--max_unreadable=0", "--overwrite")[
        0
    ]


def test_folders_of_other_classes_and_misplaced_images_are_refused(run, tmp_path):
    root = write_folders(tmp_path / "fer", ordinary_rows())
    (root / "train/joy").mkdir()
    code, _, error = run("fer2013", f"--manual_dir={root}")
    assert code == 1 and "joy is no class of FER2013, which has anger, disg" in error
    (root / "train/joy").rmdir()
    stray = next((root / "test/angry").glob("PrivateTest_*"))
    stray.rename(root / "train/angry" / stray.name)
    code, _, error = run("fer2013", f"--manual_dir={root}")
    assert code == 1 and "is one of PrivateTest by its name, but lies in train" in error


def test_a_corrupt_image_is_listed_and_equals_nothing(run, stored, tmp_path):
    root = write_folders(tmp_path / "fer", ordinary_rows())
    for folder in ("train", "test"):
        next((root / folder / "fear").iterdir()).write_bytes(b"no image")
    code, out, _ = run("fer2013", f"--manual_dir={root}", "--drop_duplicates")
    assert code == 0 and "left out of training: 0 of them" in out
    assert len(stored("fer2013", "train")[0]) == 13


def test_only_fer2013_has_duplicates(run):
    code, _, error = run("synthetic_faces", "--drop_duplicates")
    assert code == 1 and "--drop_duplicates is for fer2013" in error
