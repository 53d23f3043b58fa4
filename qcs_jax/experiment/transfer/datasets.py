"""Reads which data sets are asked for, and what their classes are called."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from qcs_jax.input.selection import BY_NAME
from qcs_jax.system.errors import UserError

TEST = "test"  # the split where none is named


@dataclasses.dataclass(frozen=True)
class Asked:
    """One data set to test on.

    Attributes:
      name: `DATASET` or `DATASET/CONFIG`.
      split: Name of the split.
      label_map: As `data.label_map`.
    """

    name: str
    split: str
    label_map: str = BY_NAME


def parse(data: str, labels: Sequence[str]) -> list[Asked]:
    """Reads the arguments of the command.

    Args:
      data: "NAME,NAME@SPLIT,..."
      labels: "NAME:THEIRS=OURS,..." each, or "NAME:by_name".

    Raises:
      UserError: for what has another form, a data set that is given twice, or a map
        for one that is not in `data`.
    """
    asked: dict[tuple[str, str], Asked] = {}
    for text in data.split(","):
        name, at, split = (part.strip() for part in text.partition("@"))
        if not name or (at and not split):
            raise UserError(f"--data={data}: give NAME,NAME or NAME@SPLIT,...")
        one = Asked(name, split or TEST)
        if asked.setdefault((one.name, one.split), one) is not one:
            raise UserError(f"--data={data}: {text.strip()} is there twice")
    maps = _maps(labels)
    names = {one.name for one in asked.values()}
    if stray := sorted(maps.keys() - names):
        raise UserError(
            f"--labels={stray[0]}:...: {stray[0]} is none of the data sets of --data, "
            f"which are {', '.join(sorted(names))}"
        )
    return [
        dataclasses.replace(one, label_map=maps.get(one.name, BY_NAME))
        for one in asked.values()
    ]


def _maps(labels: Sequence[str]) -> dict[str, str]:
    maps: dict[str, str] = {}
    for text in labels:
        name, _, mapping = (part.strip() for part in text.partition(":"))
        pairs = [pair.partition("=") for pair in mapping.split(",")]
        whole = all(a.strip() and b.strip() for a, _, b in pairs)
        if not name or not (whole or mapping == BY_NAME):
            raise UserError(
                f"--labels={text}: give NAME:THEIRS=OURS,THEIRS=OURS or NAME:{BY_NAME}"
            )
        if name in maps:
            raise UserError(f"--labels: {name} has two maps, give it one")
        maps[name] = mapping
    return maps
