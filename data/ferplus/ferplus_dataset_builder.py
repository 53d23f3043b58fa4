"""TFDS builder of FER+: the images of FER2013, and the votes on them."""

import collections
import functools
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
import tqdm

from qcs_jax.system.datasets import DATASETS
from qcs_jax.system.errors import UserError

from ..fer2013 import table
from ..fer2013.table import SPLITS
from ..integrity import Unreadable
from ..official import Copy, Example, OfficialBuilder, csv_lines, missing
from . import votes
from .votes import Row

_HOW_TO_OBTAIN = f"""\
Expected are the images of FER2013 and the votes of FER+, side by side:
  FOLDER/fer2013.csv     (or FOLDER/fer2013/fer2013.csv, as it is unpacked)
  FOLDER/fer2013new.csv  (or FOLDER/FERPlus/fer2013new.csv, as it is cloned)
fer2013.csv is in fer2013.tar.gz of {table.KAGGLE}
fer2013new.csv is in https://github.com/microsoft/FERPlus"""

_HEADER = ("emotion", "pixels", "Usage")
# FER2013's own labels, which FER+ replaces.
_FER2013_CLASSES = {
    str(n): name for n, name in enumerate(DATASETS["fer2013"].class_names)
}
# Both name the same class for most images; for rows in another order, chance leaves
# about a fifth.
_LEAST_AGREEMENT = 0.4
_PLACES = {
    "fer2013.csv": (".", "fer2013"),
    "fer2013new.csv": (".", "FERPlus", "FERPlus-master"),
}


class Builder(OfficialBuilder):
    """FER2013 with the labels that a majority of ten people gave, 8 expressions."""

    how_to_obtain = _HOW_TO_OBTAIN
    # Counts of the 8 classes, "unknown" and "NF".
    more_features = {"votes": tfds.features.Tensor(shape=(10,), dtype=np.float32)}

    def scan(self, root: pathlib.Path) -> Copy:
        return _scan(root)


def _scan(root: pathlib.Path) -> Copy:
    """Joins both files row by row, but for what FER+ or the majority leaves out.

    The numbers in the image names do not serve: from row 60 on they are not those of
    the rows, and four names occur twice.
    """
    images, rows = _find(root, "fer2013.csv"), votes.read(_find(root, "fer2013new.csv"))
    copy = Copy(root=root, examples={split: [] for split in SPLITS.values()})
    skipped: collections.Counter[str] = collections.Counter()
    agreements = []
    for number, emotion, text in _joined(images, rows):
        row = rows[number]
        label = votes.majority(row.votes) if row.image_name else None
        if label is None:
            skipped["with" if row.image_name else "without"] += 1
            continue
        agreements.append(_FER2013_CLASSES.get(emotion) == votes.CLASS_NAMES[label])
        source = pathlib.Path(f"{images}, line {number + 2}")
        try:
            load = functools.partial(bytes, table.png(text))
        except ValueError as error:
            copy.unreadable.append(Unreadable(source, str(error)))
            continue
        id_ = f"{row.usage}/{number:05d}"
        more = {"votes": row.votes}
        copy.examples[SPLITS[row.usage]].append(Example(id_, label, source, load, more))
    copy.remarks.append(
        f"left out, as published: {skipped['with']:,} images without a majority for "
        f"one expression, {skipped['without']:,} without a name"
    )
    if sum(agreements) < _LEAST_AGREEMENT * len(agreements):
        copy.remarks.append(
            f"warning: {sum(agreements):,} of {len(agreements):,} images have the "
            f"same class in {images.name} as in FER+, where most should: its rows may "
            f"be in another order, and images have got the votes of others"
        )
    return copy


def _find(root: pathlib.Path, name: str) -> pathlib.Path:
    for place in _PLACES[name]:
        if (root / place / name).is_file():
            return root / place / name
    raise missing(f"{root / name} is missing.", _HOW_TO_OBTAIN)


def _joined(images: pathlib.Path, rows: list[Row]) -> Iterator[tuple[int, str, str]]:
    """Yields row number, emotion and pixels; checks that the files go together."""
    lines = csv_lines(images)
    votes.check_header(images, next(lines, []), _HEADER)
    progress = tqdm.tqdm(lines, total=len(rows), desc="Reading", unit=" rows")
    number, stray = -1, None
    for number, line in enumerate(progress):
        emotion, pixels, usage = line if len(line) == len(_HEADER) else ("", "", "")
        if number >= len(rows) or stray:
            continue  # an error by now, which needs the number of rows
        if rows[number].usage not in SPLITS or rows[number].usage != usage:
            stray = f"line {number + 2} is {usage!r} and {rows[number].usage!r}"
            continue
        yield number, emotion, pixels
    if number + 1 != len(rows):
        raise UserError(
            f"{images} has {number + 1:,} rows and fer2013new.csv {len(rows):,}, but "
            f"they are joined row by row: use the original files"
        )
    if stray:
        raise UserError(
            f"{images} and fer2013new.csv are not in the same order, {stray}, but they "
            f"are joined row by row: use the original files"
        )
