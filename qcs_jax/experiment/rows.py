"""What the rows of a table are: the fields that make each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Row:
    """One row, at one value of the field that is swept if there is one.

    Attributes:
      name: Name of its folder, within that of the experiment.
      label: What the table calls it.
      fields: What it sets, by dotted names.
      setting: What is swept and its value, as text; empty without a sweep, and where
        data sets are swept, which tables name anyway.
    """

    name: str
    label: str
    fields: Mapping[str, Any]
    setting: str = ""

    def overrides(self) -> list[str]:
        """Returns the fields as arguments of `qcs_jax.main`."""
        return [f"--config.{field}={value}" for field, value in self.fields.items()]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A field that takes one value after another, with every row at each.

    Attributes:
      field: Its dotted name.
      values: Its values.
      at: Where each stands on the axis of the figure.
      numbered: Whether these are numbers, not places side by side.
      axis: What that axis is called.
    """

    field: str
    values: tuple[Any, ...]
    at: tuple[float, ...]
    numbered: bool
    axis: str


@dataclasses.dataclass(frozen=True)
class Table:
    """What an experiment trains, and how its rows are compared.

    Attributes:
      about: What the table asks, for people; may be empty.
      rows: The rows in their order; with a sweep, all of them for each value.
      against: Label of the row that the others are compared with; None: no row.
      paper: Number of the paper's table with the same rows, see `published.find`.
      config: The recipe, where the file names one.
      seeds: The seeds, where the file names some.
      sweep: What is swept.
    """

    about: str
    rows: tuple[Row, ...]
    against: str | None
    paper: int | None
    config: str | None
    seeds: tuple[int, ...]
    sweep: Sweep | None
