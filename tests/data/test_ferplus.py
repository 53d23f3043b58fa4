"""FER+: the majority rule on all real votes, and the join with the images."""

import csv
import gzip
import io
import pathlib

import copies
import numpy as np
import pytest
from PIL import Image
from qcs_jax.data.fer2013.table import SPLITS
from qcs_jax.data.ferplus import votes

from qcs_jax.system.datasets import DATASETS

PATTERNS = pathlib.Path(__file__).parent / "ferplus_votes/patterns.csv.gz"
ROWS = copies.FERPLUS_ROWS


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


def test_joins_by_position_and_stores_grey_png(prepare, stored, tmp_path):
    out = prepare("ferplus", copies.ferplus(tmp_path / "fer"))
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
            if where == usage and name and counts != copies.NO_MAJORITY
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
    prepare, stored, tmp_path, folders
):
    ramp = np.arange(48 * 48).reshape(48, 48) % 251
    root = copies.ferplus(tmp_path / "fer", [*ROWS[:-1], (*ROWS[-1][:3], ramp)])
    for name, folder in zip(("fer2013.csv", "fer2013new.csv"), folders, strict=True):
        (root / folder).mkdir(exist_ok=True)
        (root / name).rename(root / folder / name)
    prepare("ferplus", root)
    _, data = stored("ferplus", "test")[1][f"PrivateTest/{len(ROWS) - 1:05d}"]
    np.testing.assert_array_equal(Image.open(io.BytesIO(data)), ramp)


def test_another_order_within_a_usage_is_suspected(prepare, tmp_path):
    emotions = (*copies.EMOTIONS[1:], copies.EMOTIONS[0])
    out = prepare("ferplus", copies.ferplus(tmp_path / "fer", emotions=emotions))
    assert "warning: 0 of 27 images have the same class in fer2013.csv as" in out
