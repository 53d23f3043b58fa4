"""FER2013 as a table: a row of pixels for each image."""

import functools
import pathlib
from collections.abc import Iterator

import tqdm
from integrity import Unreadable
from official import Example, csv_lines

from fer2013 import original
from qcs_jax.system.errors import UserError

# One table under two names, with columns in two orders.
NAMES = ("fer2013.csv", "icml_face_data.csv")
_COLUMNS = ("emotion", "pixels", "usage")
_ROWS = sum(map(sum, original.PUBLISHED.values()))


def find(root: pathlib.Path) -> pathlib.Path | None:
    """Returns the table in a folder, or in the one that its archive unpacks into."""
    places = [root / place / name for name in NAMES for place in (".", "fer2013")]
    return next((path for path in places if path.is_file()), None)


def read(path: pathlib.Path) -> Iterator[tuple[str, Example | Unreadable]]:
    """Reads the rows of a table.

    Yields:
      The split, and the image or what is wrong with it.

    Raises:
      UserError: for a table of another form, or a row with another class or usage.
    """
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
        if label not in map(str, range(len(original.CLASS_NAMES))):
            raise UserError(
                f"{where}: the emotion {label!r} is not in 0..6: use the original file"
            )
        if part not in original.SPLITS:
            raise UserError(
                f"{where}: the usage {part!r} is none of {', '.join(original.SPLITS)}: "
                f"use the original file"
            )
        try:
            image = original.png(row[pixels])
        except ValueError as error:
            yield original.SPLITS[part], Unreadable(where, str(error))
            continue
        load = functools.partial(bytes, image)
        id_ = f"{part}/{number:05d}"
        yield original.SPLITS[part], Example(id_, int(label), where, load)
