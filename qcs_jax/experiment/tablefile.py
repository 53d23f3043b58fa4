"""Reads tables: those that come along, and files of one's own; README.md has one."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from qcs_jax.config import flatten
from qcs_jax.system.errors import UserError

_FOLDER = pathlib.Path(__file__).parent / "tables"
BUILT_IN = tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))

_ROW_KEYS = {"name": str, "label": str, "fields": dict}
_SWEEP_KEYS = {"field": str, "values": list, "at": list, "axis": str}
_KEYS = {"about": str, "config": str, "seeds": list, "against": str, "paper": int}
_KEYS |= {"fields": dict, "row": list, "sweep": dict}


@dataclasses.dataclass(frozen=True)
class Row:
    """One row, at one value of the field that is swept if there is one.

    `name` is that of its folder, `label` what tables call it; `fields` are the values
    that it sets, as the command line takes them, by dotted names.
    """

    name: str
    label: str
    fields: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A field that takes one value after another, with every row at each.

    In the figure each value stands `at` a place on the `axis`: a number if it is
    `numbered`, else side by side.
    """

    field: str
    values: tuple[Any, ...]
    at: tuple[float, ...]
    numbered: bool
    axis: str


@dataclasses.dataclass(frozen=True)
class Table:
    """What an experiment trains, and how its rows are compared.

    `rows` are in the order of the file; with a sweep, all of them for each value.
    `against` is the label of the row that the others are compared with, `paper` the
    number of the paper's table with the same rows, see `published.find`.
    """

    about: str
    rows: tuple[Row, ...]
    against: str | None
    paper: int | None
    config: str | None
    seeds: tuple[int, ...]
    sweep: Sweep | None


def read_table(name: str) -> Table:
    """Reads one of `BUILT_IN`, or a file; raises UserError that says what is wrong."""
    path = _FOLDER / f"{name}.toml" if name in BUILT_IN else pathlib.Path(name)
    try:
        return _table(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        known = f"{', '.join(BUILT_IN)} or a .toml file"
        raise UserError(f"--table={name}: {error.strerror}: give {known}") from error
    except ValueError as error:  # no text, no TOML, or no table
        raise UserError(f"--table={name}: {error}") from error


def _table(entries: dict[str, Any]) -> Table:
    _check_kinds("the file", entries, _KEYS)
    sweep = _sweep(entries["sweep"]) if "sweep" in entries else None
    rows = [
        _row(f"row {number}", row, _fields(entries))
        for number, row in enumerate(entries.get("row", []), start=1)
    ]
    if not rows:
        raise ValueError("no [[row]]: give at least one")
    for what in ("name", "label"):
        names = [getattr(row, what) for row in rows]
        if twice := {text for text in names if names.count(text) > 1}:
            raise ValueError(f"two rows have the {what} {min(twice)!r}")
    labels = {row.name: row.label for row in rows}
    against, seeds = entries.get("against"), entries.get("seeds", [])
    if against is not None and against not in labels:
        raise ValueError(f"against = {against!r} is no name of a row")
    if not all(type(x) is int for x in seeds):
        raise ValueError("seeds are to be numbers")
    rows = [*_swept(rows, sweep)] if sweep else rows
    if any("seed" in row.fields for row in rows):
        raise ValueError("seed is no field of a table: give seeds = [0, 1, 2] instead")
    return Table(
        about=entries.get("about", ""),
        rows=tuple(rows),
        against=labels[against] if against else None,
        paper=entries.get("paper"),
        config=entries.get("config"),
        seeds=tuple(seeds),
        sweep=sweep,
    )


def _row(what: str, entries: Any, common: dict[str, str]) -> Row:
    _check_kinds(what, entries, _ROW_KEYS)
    name = entries.get("name", "")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(
            f"{what}: name = {name!r} is to be that of a folder, of letters, digits, "
            f"_, - and ."
        )
    return Row(name, entries.get("label", name), common | _fields(entries))


def _sweep(entries: dict[str, Any]) -> Sweep:
    _check_kinds("[sweep]", entries, _SWEEP_KEYS)
    field, values = entries.get("field", ""), entries.get("values", [])
    if not (field and values) or len(set(map(_slug, values))) < len(values):
        raise ValueError("[sweep]: give a field, and values, all of them different")
    at = entries.get("at", values)
    numbered = all(type(x) in (int, float) for x in at)
    if "at" in entries and not (numbered and len(at) == len(values)):
        raise ValueError("[sweep]: at is to have a number for every value")
    places = at if numbered else range(len(values))
    axis = entries.get("axis", field)
    return Sweep(field, tuple(values), tuple(places), numbered, axis)


def _swept(rows: list[Row], sweep: Sweep) -> Iterator[Row]:
    for value in sweep.values:
        for row in rows:
            if sweep.field in row.fields:
                raise ValueError(f"row {row.name!r} sets {sweep.field}, which is swept")
            fields = {**row.fields, sweep.field: _text(value)}
            yield Row(f"{_slug(value)}/{row.name}", row.label, fields)


def _fields(entries: dict[str, Any]) -> dict[str, str]:
    fields = flatten(entries.get("fields", {}))
    return {name: _text(value) for name, value in fields.items()}


def _text(value: Any) -> str:
    """A value as the command line takes it."""
    return str(tuple(value)) if isinstance(value, list) else str(value)


def _slug(value: Any) -> str:
    return re.sub(r"[^\w.-]+", "_", _text(value))


def _check_kinds(what: str, entries: Any, kinds: Mapping[str, type]) -> None:
    """Raises ValueError for a key that is not known, or a value of another kind."""
    if not isinstance(entries, dict):
        raise ValueError(f"{what} = {entries!r} is no table of TOML")
    for key, value in entries.items():
        if key not in kinds:
            known = ", ".join(sorted(kinds))
            raise ValueError(f"{what} has {key!r}, which is none of {known}")
        if type(value) is not kinds[key]:
            raise ValueError(f"{what}: {key} = {value!r} is not what is expected there")
