"""The votes of FER+: reading them, and the class that a majority chose."""

import dataclasses
import pathlib
from collections.abc import Sequence

from qcs_jax.system.datasets import DATASETS
from qcs_jax.system.errors import UserError

from ..official import csv_lines

CLASS_NAMES = DATASETS["ferplus"].class_names
HEADER = ("Usage", "Image name", *CLASS_NAMES, "unknown", "NF")


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One row of fer2013new.csv."""

    usage: str  # "Training", "PublicTest" or "PrivateTest"
    image_name: str  # empty where FER+ leaves the image out
    votes: tuple[int, ...]  # of ten people for 8 classes, "unknown", "NF" (no face)


def majority(votes: Sequence[int]) -> int | None:
    """Returns the class that more than half of the people chose, None if there is none.

    A single vote for a class counts as a slip and is removed. What is left of
    "unknown" and "NF" takes part, so they can win too.
    """
    counted = [n if n > 1 else 0 for n in votes]
    most = max(counted)
    winner = counted.index(most)
    # More than half leaves no room for a tie.
    if 2 * most <= sum(counted) or winner >= len(CLASS_NAMES):
        return None
    return winner


def read(path: pathlib.Path) -> list[Row]:
    """Reads fer2013new.csv; raises UserError for another form."""
    lines = csv_lines(path)
    check_header(path, next(lines, []), HEADER)
    return [_row(line, f"{path}, line {n}") for n, line in enumerate(lines, start=2)]


def check_header(
    path: pathlib.Path, header: Sequence[str], expected: Sequence[str]
) -> None:
    """Refuses another file under the same name."""
    if tuple(header) != tuple(expected):
        start = ",".join(header)[:60]
        raise UserError(
            f"{path} begins with {start!r} instead of {','.join(expected)!r}: "
            f"use the original file"
        )


def _row(line: list[str], where: str) -> Row:
    try:
        usage, image_name, *votes = line
        if len(votes) != len(HEADER) - 2:
            raise ValueError
        return Row(usage, image_name.strip(), tuple(map(int, votes)))
    except ValueError:
        text = ",".join(line)[:60]
        raise UserError(
            f"{where}: {text!r} is not usage, image name and 10 votes: use the "
            f"original file"
        ) from None
