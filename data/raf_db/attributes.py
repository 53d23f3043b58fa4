"""Gender, race and age of the faces, as annotators of RAF-DB have noted them down."""

import itertools
import pathlib
from collections.abc import Mapping, Sequence

from qcs_jax.evaluate.group_file import GROUPS_FILE

from .. import integrity
from ..official import Example, Groups

# What the numbers in a file mean, after five lines of coordinates. Words, because
# spreadsheets take 4-19 for a date.
COLUMNS = {
    "gender": ("male", "female", ""),  # the last: unsure
    "race": ("Caucasian", "African-American", "Asian"),
    "age": ("0 to 3", "4 to 19", "20 to 39", "40 to 69", "70 or more"),
}
FOLDER = "Annotation/manual"
_LANDMARKS = 5


def read(
    basic: pathlib.Path, examples: Mapping[str, Sequence[Example]]
) -> Groups | None:
    """Reads the attributes of all images; None if their folder is missing."""
    folder = basic / FOLDER
    if not folder.is_dir():
        return None
    groups, unreadable = {}, []
    for example in itertools.chain(*examples.values()):
        name = example.source.name.removesuffix("_aligned.jpg")
        path = folder / f"{name}_manu_attri.txt"
        try:
            groups[example.id] = _parse(path.read_text("utf-8-sig"))
        except (OSError, ValueError) as error:
            unreadable.append(integrity.Unreadable(path, integrity.reason(error)))
    return Groups(tuple(COLUMNS), groups, unreadable)


def without(basic: pathlib.Path) -> str:
    """Says why there are no groups."""
    return (
        f"no {GROUPS_FILE} is written: {basic / FOLDER} with gender, race and age is "
        f"missing"
    )


def _parse(text: str) -> tuple[str, ...]:
    """Returns a group for each of `COLUMNS`; raises ValueError for a damaged file."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    count = _LANDMARKS + len(COLUMNS)
    if len(lines) != count:
        raise ValueError(f"{len(lines)} lines, not {count}")
    for line in lines[:_LANDMARKS]:
        if len([float(number) for number in line.split()]) != 2:
            raise ValueError(f"{line!r} is no point")
    values = []
    for (column, groups), line in zip(COLUMNS.items(), lines[_LANDMARKS:], strict=True):
        if not line.isdecimal() or int(line) >= len(groups):
            raise ValueError(f"{column} is {line!r}, not in 0..{len(groups) - 1}")
        values.append(groups[int(line)])
    return tuple(values)
