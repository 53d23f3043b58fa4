"""FER+: the majority rule on all real votes, and the join with the images."""

import csv
import gzip
import io
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from qcs_jax.data.ferplus import ferplus_dataset_builder as listing
from qcs_jax.data.ferplus import votes

from qcs_jax.system.datasets import DATASETS
from qcs_jax.system.errors import UserError

PATTERNS = pathlib.Path(__file__).parent / "ferplus_votes/patterns.csv.gz"
USAGES = ("Training", "PublicTest", "PrivateTest")
NF = (0,) * 9 + (10,)
NO_MAJORITY = (4, 0, 0, 1, 3, 2, 0, 0, 0, 0)


@pytest.fixture(scope="module")
def patterns():
    """Rows of votes [10], images per usage [3], expected label."""
    with gzip.open(PATTERNS, "rt", newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header[:10]) == votes.HEADER[2:]
    assert tuple(header[10:]) == (*USAGES, "label")
    return np.array(rows, dtype=int)


def test_classes_are_in_the_published_order():
    assert votes.CLASS_NAMES == (
        "neutral",
        "happiness",
        "surprise",
        "sadness",
        "anger",
        "disgust",
        "fear",
        "contempt",
    )


def test_majority_on_every_pattern_of_the_real_votes(patterns):
    found = [votes.majority(row[:10].tolist()) for row in patterns]
    expected = [None if label < 0 else label for label in patterns[:, -1]]
    assert found == expected


def test_majority_gives_the_published_counts(patterns):
    counts = {split: np.zeros(8, int) for split in listing.SPLITS.values()}
    for row in patterns:
        label = votes.majority(row[:10].tolist())
        if label is not None:
            for usage, images in zip(USAGES, row[10:13], strict=True):
                counts[listing.SPLITS[usage]][label] += images
    assert [c.sum() for c in counts.values()] == [25_060, 3_199, 3_153]
    assert {s: tuple(c.tolist()) for s, c in counts.items()} == DATASETS[
        "ferplus"
    ].published


@pytest.mark.parametrize(
    ("counts", "label"),
    [
        ((10, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0),
        ((0, 0, 0, 0, 0, 0, 0, 10, 0, 0), 7),
        ((5, 5, 0, 0, 0, 0, 0, 0, 0, 0), None),  # a tie is no majority
        ((5, 3, 2, 0, 0, 0, 0, 0, 0, 0), None),  # half is not more than half
        ((5, 3, 1, 1, 0, 0, 0, 0, 0, 0), 0),  # single votes do not count: 5 of 8
        ((4, 0, 0, 0, 0, 0, 0, 0, 3, 0), 0),  # unknown does: 4 of 7
        ((4, 0, 0, 0, 0, 0, 0, 0, 4, 0), None),
        ((0, 0, 0, 3, 0, 0, 0, 0, 6, 1), None),  # unknown wins
        ((2, 0, 0, 0, 0, 0, 0, 0, 0, 8), None),  # not a face wins
        ((1,) * 10, None),
    ],
)
def test_majority(counts, label):
    assert votes.majority(counts) == label


def pixels(value):
    return " ".join([str(value)] * 48 * 48)


def one(label, count=9):
    """Nearly everybody votes for a class."""
    return tuple(count if k == label else 0 for k in range(8)) + (0, 10 - count)


def ordinary_rows():
    """Usage, image name, votes, grey value; each class once or more per split.

    The names count only rows that have one, as in the original, so they lag behind.
    """
    rows = [("Training", "", NF, 255), ("Training", "x", NO_MAJORITY, 254)]
    for start, usage in enumerate(USAGES):
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


# FER2013's number of each class of FER+; it has no contempt.
EMOTIONS = (6, 3, 5, 4, 0, 1, 2, 0)


def write(root, rows, images=None, header="emotion,pixels,Usage", emotions=EMOTIONS):
    root.mkdir(exist_ok=True)
    with open(root / "fer2013new.csv", "w") as file:
        file.write(",".join(votes.HEADER) + "\n")
        for usage, name, counts, _ in rows:
            file.write(",".join([usage, name, *map(str, counts)]) + "\n")
    with open(root / "fer2013.csv", "w") as file:
        file.write(header + "\n")
        for usage, _, counts, grey in rows if images is None else images:
            emotion = emotions[np.argmax(counts[:8])]
            text = grey if isinstance(grey, str) else pixels(grey)
            file.write(f"{emotion},{text},{usage}\n")
    return root


def test_joins_by_position_and_stores_grey_png(run, stored, tmp_path):
    rows = ordinary_rows()
    root = write(tmp_path / "fer", rows)
    code, out, error = run("ferplus", f"--manual_dir={root}")
    assert (code, error) == (0, "")
    assert "Next: qcs-jax train --config=ferplus\n" in out
    assert "1 images without a majority for one expression, 2 without a name" in out
    assert "have the same class" not in out
    # Miniature as it is, it differs from what is published.
    assert "warning: validation has 9 images, the published set 3,199 (neutral" in out
    for usage, split in zip(USAGES, ("train", "validation", "test"), strict=True):
        source, examples = stored("ferplus", split)
        assert source.class_names == votes.CLASS_NAMES
        expected = {
            f"{usage}/{k:05d}": (counts, grey)
            for k, (where, name, counts, grey) in enumerate(rows)
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


def test_pixels_are_in_rows(run, tmp_path):
    rows = ordinary_rows()
    ramp = np.arange(48 * 48).reshape(48, 48) % 251
    usage, name, counts, _ = rows[-1]
    rows[-1] = (usage, name, counts, " ".join(map(str, ramp.ravel())))
    root = write(tmp_path / "fer", rows)
    assert run("ferplus", f"--manual_dir={root}")[0] == 0
    read = tfds.builder_from_directory(tmp_path / "prepared/ferplus/1.0.0")
    images = {r["id"].decode(): r["image"] for r in read.as_data_source("test")}
    image = images[f"{usage}/{len(rows) - 1:05d}"]
    np.testing.assert_array_equal(image, np.repeat(ramp[:, :, None], 3, axis=2))


@pytest.mark.parametrize("folders", [("fer2013", "FERPlus"), (".", "FERPlus-master")])
def test_folders_as_they_are_unpacked(run, tmp_path, folders):
    root = write(tmp_path / "fer", ordinary_rows())
    for name, folder in zip(("fer2013.csv", "fer2013new.csv"), folders, strict=True):
        (root / folder).mkdir(exist_ok=True)
        (root / name).rename(root / folder / name)
    assert run("ferplus", f"--manual_dir={root}")[0] == 0


@pytest.mark.parametrize("name", ["fer2013.csv", "fer2013new.csv"])
def test_a_missing_file_is_named_with_where_to_get_it(run, tmp_path, name):
    root = write(tmp_path / "fer", ordinary_rows())
    (root / name).unlink()
    code, _, error = run("ferplus", f"--manual_dir={root}")
    assert code == 1 and f"{root / name} is missing" in error
    assert "FOLDER/fer2013.csv" in error and "https://www.kaggle.com/c/" in error
    assert "https://github.com/microsoft/FERPlus" in error


def test_different_numbers_of_rows_are_an_error(run, tmp_path):
    rows = ordinary_rows()
    for images in (rows[:-1], [*rows, rows[-1]], rows[1:]):
        root = write(tmp_path / "fer", rows, images)
        code, _, error = run("ferplus", f"--manual_dir={root}")
        assert code == 1, error
        assert f"has {len(images)} rows and fer2013new.csv {len(rows)}" in error
    assert not list(tmp_path.rglob("dataset_info.json"))


def test_another_order_is_an_error(run, tmp_path):
    rows = ordinary_rows()
    root = write(tmp_path / "fer", rows, rows[::-1])
    code, _, error = run("ferplus", f"--manual_dir={root}")
    assert code == 1 and "are not in the same order" in error
    assert "line 2 is 'PrivateTest' and 'Training'" in error


def test_another_order_within_a_usage_is_suspected(run, tmp_path):
    wrong = (*EMOTIONS[1:], EMOTIONS[0])
    root = write(tmp_path / "fer", ordinary_rows(), emotions=wrong)
    code, out, _ = run("ferplus", f"--manual_dir={root}")
    assert code == 0
    assert "warning: 0 of 27 images have the same class in fer2013.csv as" in out


@pytest.mark.parametrize("header", ["emotion, Usage, pixels", "0,1 2 3,Training"])
def test_wrong_header_of_the_images_is_an_error(run, tmp_path, header):
    root = write(tmp_path / "fer", ordinary_rows(), header=header)
    code, _, error = run("ferplus", f"--manual_dir={root}")
    assert code == 1 and "instead of 'emotion,pixels,Usage'" in error


def test_wrong_header_of_the_votes_is_an_error(tmp_path):
    root = write(tmp_path / "fer", ordinary_rows())
    path = root / "fer2013new.csv"
    path.write_text(path.read_text().replace("anger,disgust", "disgust,anger"))
    with pytest.raises(UserError, match="fer2013new.csv begins with 'Usage"):
        votes.read(path)
    path.write_text("")
    with pytest.raises(UserError, match="begins with ''"):
        votes.read(path)


@pytest.mark.parametrize(
    "line",
    ["Training,a.png,1,2,3", "Training,a.png" + ",x" * 10, "", "x,y" + ",1" * 11],
)
def test_damaged_votes_are_an_error(tmp_path, line):
    path = tmp_path / "fer2013new.csv"
    path.write_text(",".join(votes.HEADER) + f"\nTraining,a.png{',1' * 10}\n{line}\n")
    with pytest.raises(UserError, match="line 3: .* is not usage, image name"):
        votes.read(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (" ".join(["7"] * 2303), "2,303 pixels instead of 2,304"),
        (pixels(7) + " 7", "2,305 pixels instead of 2,304"),
        (pixels(256), "not numbers in 0..255"),
        (pixels(-1), "not numbers in 0..255"),
        (pixels("x"), "not numbers in 0..255"),
        ("", "0 pixels"),
    ],
)
def test_damaged_pixels_count_as_unreadable(run, tmp_path, text, reason):
    rows = ordinary_rows()
    k = next(k for k, row in enumerate(rows) if row[2] == one(1))  # there are two
    rows[k] = (*rows[k][:3], text)
    root = write(tmp_path / "fer", rows)
    command = ("ferplus", f"--manual_dir={root}")
    code, _, error = run(*command, "--max_unreadable=0")
    assert code == 1 and f"fer2013.csv, line {k + 2} (" in error and reason in error
    code, out, _ = run(*command)
    assert code == 0 and "skipped 1 unreadable images" in out
    report = tmp_path / "prepared/ferplus/unreadable.txt"
    assert f"line {k + 2}\t" in report.read_text()
