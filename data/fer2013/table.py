"""FER2013 as it was published, a table with a row of pixels for each image."""

import functools
import io
import pathlib
from collections.abc import Iterator

import tqdm
from PIL import Image

from qcs_jax.system.datasets import DATASETS
from qcs_jax.system.errors import UserError

from ..integrity import Unreadable
from ..official import Example, csv_lines

SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
KAGGLE = (
    "https://www.kaggle.com/c/"
    "challenges-in-representation-learning-facial-expression-recognition-challenge"
)

# One table under two names, with columns in two orders.
NAMES = ("fer2013.csv", "icml_face_data.csv")
_COLUMNS = ("emotion", "pixels", "usage")
_SIDE = 48
_ORIGINAL = DATASETS["fer2013"]
_ROWS = sum(map(sum, _ORIGINAL.published.values()))


def find(root: pathlib.Path) -> pathlib.Path | None:
    """Returns the table in a folder, or in the one that its archive unpacks into."""
    places = [root / place / name for name in NAMES for place in (".", "fer2013")]
    return next((path for path in places if path.is_file()), None)


def read(path: pathlib.Path) -> Iterator[tuple[str, Example | Unreadable]]:
    """Yields, for each row of a table, the split, and the image or what is wrong."""
    lines = csv_lines(path)
    header = [name.strip().lower() for name in next(lines, [])]
    if sorted(header) != sorted(_COLUMNS):
        raise UserError(
            f"{path} has the columns {', '.join(header)[:80] or 'of no table'} instead "
            f"of {', '.join(_COLUMNS)}: use the original file"
        )
    emotion, pixels, usage = map(header.index, _COLUMNS)
    progress = tqdm.tqdm(lines, total=_ROWS, desc="Reading", unit=" rows")
    for number, row in enumerate(progress):
        where = pathlib.Path(f"{path}, line {number + 2}")
        if len(row) != len(_COLUMNS):
            raise UserError(f"{where}: has {len(row)} fields: use the original file")
        label, part = row[emotion].strip(), row[usage].strip()
        if label not in map(str, range(len(_ORIGINAL.class_names))):
            raise UserError(
                f"{where}: the emotion {label!r} is not in 0..6: use the original file"
            )
        if part not in SPLITS:
            raise UserError(
                f"{where}: the usage {part!r} is none of {', '.join(SPLITS)}: "
                f"use the original file"
            )
        try:
            image = png(row[pixels])
        except ValueError as error:
            yield SPLITS[part], Unreadable(where, str(error))
            continue
        load = functools.partial(bytes, image)
        id_ = f"{part}/{number:05d}"
        yield SPLITS[part], Example(id_, int(label), where, load)


def png(text: str) -> bytes:
    """Turns 48 x 48 numbers from 0 to 255 into a PNG; raises ValueError for others."""
    try:
        pixels = bytes(map(int, text.split()))
    except ValueError:
        raise ValueError("pixels that are not numbers in 0..255") from None
    if len(pixels) != _SIDE * _SIDE:
        raise ValueError(f"{len(pixels):,} pixels instead of {_SIDE * _SIDE:,}")
    buffer = io.BytesIO()
    Image.frombytes("L", (_SIDE, _SIDE), pixels).save(buffer, "PNG")
    return buffer.getvalue()
