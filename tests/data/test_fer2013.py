"""FER2013: the three forms that it comes in, and images in more than one split."""

import io

import numpy as np
import pytest
from PIL import Image
from qcs_jax.data.fer2013.table import SPLITS

from qcs_jax.system.datasets import DATASETS

CLASS_NAMES = DATASETS["fer2013"].class_names
FOLDERS = {"anger": "angry", "happiness": "happy", "sadness": "sad"}
_RNG = np.random.default_rng(0)
# Usage, label and pixels: two images a class and split, all different.
ROWS = [
    (usage, label, _RNG.integers(0, 256, (48, 48), np.uint8))
    for usage in SPLITS
    for label in range(7)
    for _ in range(2)
]


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
        (write_table, "fer2013.csv"),
        (write_table, "icml_face_data.csv"),
        (write_folders, "kaggle"),
        (write_folders, "plain"),
    ],
)
def test_every_form_gives_the_same_images(run, stored, tmp_path, write, form):
    root = write(tmp_path / "fer", ROWS, form)
    code, out, error = run("fer2013", f"--manual_dir={root}")
    assert (code, error) == (0, "")
    assert "0 training images are in the split test, too" in out
    assert "warning: train has 14 images, the published set 28,709 (anger" in out
    assert "Next: qcs-jax train --config=fer2013\n" in out
    for usage, split in SPLITS.items():
        source, examples = stored("fer2013", split)
        assert source.class_names == CLASS_NAMES
        expected = {(label, x.tobytes()) for u, label, x in ROWS if u == usage}
        assert decoded(examples) == expected


def test_images_in_two_splits_are_counted_and_left_out(run, stored, tmp_path):
    rows = ROWS.copy()
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


@pytest.mark.parametrize("usage", SPLITS)
def test_a_copy_without_a_split(run, stored, tmp_path, usage):
    """Training needs two; PrivateTest may be missing."""
    rows = [row for row in ROWS if row[0] != usage]
    root = write_table(tmp_path / "fer", rows)
    code, out, error = run("fer2013", f"--manual_dir={root}")
    if usage == "PrivateTest":
        assert code == 0 and "without the split test" in out
        assert "--config.data.test_split=validation" in out
        assert len(stored("fer2013", "validation")[0]) == 14
    else:
        assert code == 1
        assert f"has no image of the split '{SPLITS[usage]}'" in error
        assert "https://www.kaggle.com/c/" in error


def replaced(usage="Training", label=1, image=None):
    """The rows, with another one on line 5."""
    row = (usage, label, ROWS[3][2] if image is None else image)
    return [*ROWS[:3], row, *ROWS[4:]]


@pytest.mark.parametrize(
    "rows, message",
    [
        (replaced(label=7), "line 5: the emotion '7' is not in 0..6"),
        (replaced(usage="Test"), "the usage 'Test' is none of Training, PublicTest"),
        (replaced(image="1,2"), "line 5: has 4 fields"),
    ],
)
def test_rows_of_another_table_are_refused(run, tmp_path, rows, message):
    code, _, error = run("fer2013", f"--manual_dir={write_table(tmp_path / 'f', rows)}")
    assert code == 1 and message in error and "use the original file" in error
    assert not list(tmp_path.rglob("dataset_info.json"))


def test_no_table_or_another_one(run, tmp_path):
    command = ("fer2013", f"--manual_dir={tmp_path}")
    code, _, error = run(*command)
    assert code == 1 and "has no fer2013.csv or icml_face_data.csv, and no" in error
    assert "FOLDER/train/CLASS/*.jpg" in error
    (tmp_path / "fer2013.csv").write_text("id,label\n1,2\n")
    code, _, error = run(*command)
    assert code == 1 and "columns id, label instead of emotion, pixels" in error


def test_damaged_pixels_are_listed(run, tmp_path):
    root = write_table(tmp_path / "fer", replaced(image="1 2 3"))
    code, out, _ = run("fer2013", f"--manual_dir={root}")
    assert code == 0 and "skipped 1 unreadable images" in out
    report = tmp_path / "prepared/fer2013/unreadable.txt"
    assert "fer2013.csv, line 5\t3 pixels instead of 2,304" in report.read_text()


def test_folders_of_other_classes_and_misplaced_images_are_refused(run, tmp_path):
    root = write_folders(tmp_path / "fer", ROWS)
    (root / "train/joy").mkdir()
    code, _, error = run("fer2013", f"--manual_dir={root}")
    assert code == 1 and "joy is no class of FER2013, which has anger, disg" in error
    (root / "train/joy").rmdir()
    stray = next((root / "test/angry").glob("PrivateTest_*"))
    stray.rename(root / "train/angry" / stray.name)
    code, _, error = run("fer2013", f"--manual_dir={root}")
    assert code == 1 and "is one of PrivateTest by its name, but lies in train" in error


def test_a_corrupt_image_is_listed_and_equals_nothing(run, stored, tmp_path):
    root = write_folders(tmp_path / "fer", ROWS)
    for folder in ("train", "test"):
        next((root / folder / "fear").iterdir()).write_bytes(b"no image")
    code, out, _ = run("fer2013", f"--manual_dir={root}", "--drop_duplicates")
    assert code == 0 and "left out of training: 0 of them" in out
    assert len(stored("fer2013", "train")[0]) == 13
