"""FER+: the majority rule on all real votes, and the join with the images."""

import csv
import gzip
import io
import pathlib

import numpy as np
import pytest
from PIL import Image
from qcs_jax.data.fer2013.table import SPLITS
from qcs_jax.data.ferplus import votes

from qcs_jax.system.datasets import DATASETS
from qcs_jax.system.errors import UserError

PATTERNS = pathlib.Path(__file__).parent / "ferplus_votes/patterns.csv.gz"
NF = (0,) * 9 + (10,)
NO_MAJORITY = (4, 0, 0, 1, 3, 2, 0, 0, 0, 0)


def test_majority_on_every_pattern_of_the_real_votes():
    """Rows of votes [10], images per usage [3], expected label."""
    with gzip.open(PATTERNS, "rt", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == [*votes.HEADER[2:], *SPLITS, "label"]
    counts = {split: np.zeros(8, int) for split in SPLITS.values()}
    for row in np.array(rows, dtype=int).tolist():
        label = votes.majority(row[:10])
        assert label == (None if row[-1] < 0 else row[-1])
        if label is not None:
            for split, images in zip(counts, row[10:13], strict=True):
                counts[split][label] += images
    published = {split: tuple(n.tolist()) for split, n in counts.items()}
    assert published == DATASETS["ferplus"].published


def pixels(value):
    return " ".join([str(value)] * 48 * 48)


def one(label):
    """Nearly everybody votes for a class."""
    return tuple(9 * (k == label) for k in range(8)) + (0, 1)


def ordinary_rows():
    """Usage, image name, votes, grey value; each class once or more per split.

    The names count only rows that have one, as in the original, so they lag behind.
    """
    rows = [("Training", "", NF, 255), ("Training", "x", NO_MAJORITY, 254)]
    for start, usage in enumerate(SPLITS):
        for label in range(8):
            for repeat in range(1 + (label == 1)):
                grey = 80 * start + 10 * label + repeat
                rows.append((usage, "x", one(label), grey))
    rows.insert(-3, ("PrivateTest", "", one(3), 253))  # the name decides, not the votes
    named = 0
    for k, (usage, name, counts, grey) in enumerate(rows):
        rows[k] = (usage, name and f"fer{named:07d}.png", counts, grey)
        named += bool(name)
    return rows


ROWS = ordinary_rows()
# FER2013's number of each class of FER+; it has no contempt.
EMOTIONS = (6, 3, 5, 4, 0, 1, 2, 0)


def write(root, rows=ROWS, images=None, emotions=EMOTIONS):
    root.mkdir(exist_ok=True)
    with open(root / "fer2013new.csv", "w") as file:
        file.write(",".join(votes.HEADER) + "\n")
        for usage, name, counts, _ in rows:
            file.write(",".join([usage, name, *map(str, counts)]) + "\n")
    with open(root / "fer2013.csv", "w") as file:
        file.write("emotion,pixels,Usage\n")
        for usage, _, counts, grey in rows if images is None else images:
            emotion = emotions[np.argmax(counts[:8])]
            text = grey if isinstance(grey, str) else pixels(grey)
            file.write(f"{emotion},{text},{usage}\n")
    return root


def test_joins_by_position_and_stores_grey_png(run, stored, tmp_path):
    root = write(tmp_path / "fer")
    code, out, error = run("ferplus", f"--manual_dir={root}")
    assert (code, error) == (0, "")
    assert "Next: qcs-jax train --config=ferplus\n" in out
    assert "1 images without a majority for one expression, 2 without a name" in out
    assert "have the same class" not in out
    # Miniature as it is, it differs from what is published.
    assert "warning: validation has 9 images, the published set 3,199 (neutral" in out
    for usage, split in SPLITS.items():
        source, examples = stored("ferplus", split)
        expected = {
            f"{usage}/{k:05d}": (counts, grey)
            for k, (where, name, counts, grey) in enumerate(ROWS)
            if where == usage and name and counts != NO_MAJORITY
        }
        assert set(examples) == set(expected)
        for where, (label, data) in examples.items():
            counts, grey = expected[where]
            assert label == np.argmax(counts[:8])
            image = Image.open(io.BytesIO(data))
            assert (image.format, image.mode, image.size) == ("PNG", "L", (48, 48))
            assert image.getextrema() == (grey, grey)
        for record in source.records:
            assert record["votes"].dtype == np.float32
            counts, _ = expected[record["id"].decode()]
            np.testing.assert_array_equal(record["votes"], counts)


@pytest.mark.parametrize("folders", [("fer2013", "FERPlus"), (".", "FERPlus-master")])
def test_folders_as_they_are_unpacked_and_pixels_in_rows(
    run, stored, tmp_path, folders
):
    ramp = np.arange(48 * 48).reshape(48, 48) % 251
    text = " ".join(map(str, ramp.ravel()))
    root = write(tmp_path / "fer", [*ROWS[:-1], (*ROWS[-1][:3], text)])
    for name, folder in zip(("fer2013.csv", "fer2013new.csv"), folders, strict=True):
        (root / folder).mkdir(exist_ok=True)
        (root / name).rename(root / folder / name)
    assert run("ferplus", f"--manual_dir={root}")[0] == 0
    _, examples = stored("ferplus", "test")
    _, data = examples[f"PrivateTest/{len(ROWS) - 1:05d}"]
    np.testing.assert_array_equal(Image.open(io.BytesIO(data)), ramp)


@pytest.mark.parametrize("name", ["fer2013.csv", "fer2013new.csv"])
def test_a_missing_file_is_named_with_where_to_get_it(run, tmp_path, name):
    root = write(tmp_path / "fer")
    (root / name).unlink()
    code, _, error = run("ferplus", f"--manual_dir={root}")
    assert code == 1 and f"{root / name} is missing" in error
    assert "FOLDER/fer2013.csv" in error and "https://www.kaggle.com/c/" in error
    assert "https://github.com/microsoft/FERPlus" in error


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([*ROWS, ROWS[-1]], f"has 31 rows and fer2013new.csv {len(ROWS)}"),
        (ROWS[::-1], "not in the same order, line 2 is 'PrivateTest' and 'Training'"),
    ],
)
def test_files_that_do_not_go_together(run, tmp_path, images, message):
    root = write(tmp_path / "fer", images=images)
    code, _, error = run("ferplus", f"--manual_dir={root}")
    assert code == 1 and message in error
    assert not list(tmp_path.rglob("dataset_info.json"))


def test_another_order_within_a_usage_is_suspected(run, tmp_path):
    root = write(tmp_path / "fer", emotions=(*EMOTIONS[1:], EMOTIONS[0]))
    code, out, _ = run("ferplus", f"--manual_dir={root}")
    assert code == 0
    assert "warning: 0 of 27 images have the same class in fer2013.csv as" in out


HEADER = ",".join(votes.HEADER)
VOTES = f"{HEADER}\nTraining,a.png{',1' * 10}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER.replace("anger,disgust", "disgust,anger"), "csv begins with 'Usage"),
        *(
            (f"{VOTES}{line}\n", "line 3: .* is not usage, image name")
            for line in ("", "x,a.png,1,2,3", f"x,y{',x' * 10}", f"x,y{',1' * 11}")
        ),
    ],
)
def test_damaged_votes_are_an_error(tmp_path, text, message):
    path = tmp_path / "fer2013new.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        votes.read(path)


def test_damaged_pixels_count_as_unreadable(run, tmp_path):
    reasons = {
        "": "0 pixels",
        pixels(7) + " 7": "2,305 pixels instead of 2,304",
        **{pixels(x): "pixels that are not numbers in 0..255" for x in (256, -1, "x")},
    }
    rows = list(ROWS)
    for number, text in enumerate(reasons, start=2):
        rows[number] = (*rows[number][:3], text)
    root = write(tmp_path / "fer", rows)
    code, _, error = run("ferplus", f"--manual_dir={root}", "--max_unreadable=0")
    assert code == 1 and "5 images are unreadable, 0 are tolerated" in error
    report = (tmp_path / "prepared/ferplus/unreadable.txt").read_text()
    for line, reason in enumerate(reasons.values(), start=4):
        assert f"fer2013.csv, line {line}\t{reason}" in report
