"""Which group every image belongs to, as a CSV file that somebody else made.

    id,gender,age
    test_0001.jpg,female,20 to 39
    test_0002.jpg,,4 to 19

An empty cell is a group that is not known. A network never fills it in.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qcs_jax.system.errors import UserError

GROUPS_FILE = "groups.csv"  # as `qcs_jax.prepare` calls it
MOST_GROUPS = 50  # of a column; what has more is a name or a number
_ID = "id"


@dataclasses.dataclass(frozen=True)
class Grouping:
    """A column of the file, for the images of a split."""

    column: str
    names: tuple[str, ...]  # of groups that have images, in natural order
    members: np.ndarray  # int [N], the group of every image, -1 where it is not known


@dataclasses.dataclass(frozen=True)
class GroupFile:
    """What such a file says."""

    path: str
    columns: tuple[str, ...]  # without that of ids
    rows: Mapping[str, tuple[str, ...]]  # groups by id of an image, "" where not known

    def groupings(self, ids: Sequence[str]) -> list[Grouping]:
        """Returns every column, for images that are called `ids`.

        Raises UserError if the file has none of the images.
        """
        if self.rows.keys().isdisjoint(ids):
            raise UserError(
                f"{self.path} has none of the {len(ids)} test images: they are called "
                f"{ids[0]!r} and so on, in the file {next(iter(self.rows))!r}. Give "
                f"them the names that are in predictions.csv"
            )
        unknown = ("",) * len(self.columns)
        rows = [self.rows.get(name, unknown) for name in ids]
        groupings = []
        for column, cells in zip(self.columns, zip(*rows, strict=True), strict=True):
            names = sorted({*cells} - {""}, key=_natural)
            number = {"": -1} | {name: i for i, name in enumerate(names)}
            members = np.array([number[cell] for cell in cells])
            groupings.append(Grouping(column, tuple(names), members))
        return groupings

    def notes(self, ids: Sequence[str]) -> list[str]:
        """Returns what somebody should know about file and images, a line each."""
        notes = []
        if lacking := sum(name not in self.rows for name in ids):
            notes.append(f"{self.path} lacks {lacking} of {len(ids)} test images")
        if others := len(self.rows.keys() - set(ids)):
            notes.append(
                f"{self.path} has {others} images that are not in the test, which "
                f"were left out"
            )
        return notes


def read(path: str | os.PathLike) -> GroupFile:
    """Reads a file, whose lines may be in any order.

    Raises UserError if it is missing or no such file; the message names the line.
    """
    try:
        with pathlib.Path(path).open(encoding="utf-8-sig", newline="") as file:
            return GroupFile(str(path), *_parse(csv.reader(file, strict=True)))
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, UnicodeDecodeError | csv.Error):
            reason = f"it is no CSV file ({error})"
        raise UserError(
            f"--groups={path}: {reason}. Give a CSV file whose first line is "
            f"{_ID},COLUMN,..., then an image a line"
        ) from None


def _parse(reader: Any) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Columns and rows of a `csv.reader`; raises ValueError with the reason."""
    header = [cell.strip() for cell in next(filter(None, reader), [""])]
    first, *columns = header
    if first != _ID or not all(columns) or not 1 < len(set(header)) == len(header):
        raise ValueError(
            f"its first line, {','.join(header)[:60]!r}, is not {_ID!r} and columns, "
            f"each with a name of its own"
        )
    rows: dict[str, tuple[str, ...]] = {}
    for name, *cells in filter(None, reader):
        line = f"line {reader.line_num}"
        if len(cells) != len(columns):
            raise ValueError(f"{line} has {len(cells) + 1} values, not {len(header)}")
        if not name or name in rows:
            problem = f"{name!r} occurs twice" if name else f"there is no {_ID}"
            raise ValueError(f"{line}: {problem}")
        rows[name] = tuple(cell.strip() for cell in cells)
    if not rows:
        raise ValueError("it has no line but the first")
    for column, values in zip(columns, zip(*rows.values(), strict=True), strict=True):
        if (count := len({*values} - {""})) > MOST_GROUPS:
            raise ValueError(
                f"column {column!r} has {count} different values, which are no groups "
                f"(at most {MOST_GROUPS}): leave it out, or say which values belong "
                f"together"
            )
    return tuple(columns), rows


def _natural(name: str) -> list[tuple[int, str]]:
    """4 comes before 20."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(int(x), "") if x.isdecimal() else (-1, x) for x in parts] + [(-1, name)]
