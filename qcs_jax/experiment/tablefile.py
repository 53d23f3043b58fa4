"""Reads tables: those that come along, and files of one's own.

about = "Does SAM help?"
config = "configs/demo.py"
seeds = [0, 1, 2]
against = "adam"
fields.train.epochs = 10

[[row]]
name = "adam"
fields.optimizer.rho = 0.0

[[row]]
name = "sam"
fields.optimizer.rho = 0.05

[sweep]
field = "data.train_fraction"
values = [0.25, 0.5, 1.0]
"""

from __future__ import annotations

import pathlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from qcs_jax.config import FIELDS, flatten
from qcs_jax.experiment.rows import Row, Sweep, Table
from qcs_jax.system.errors import UserError

_FOLDER = resources.files("qcs_jax.experiment") / "tables"
BUILT_IN = tuple(
    sorted(
        entry.name.removesuffix(".toml")
        for entry in _FOLDER.iterdir()
        if entry.name.endswith(".toml")
    )
)

_KEYS = {"about", "against", "config", "fields", "paper", "row", "seeds", "sweep"}
_ROW_KEYS = {"name", "label", "fields"}
_SWEEP_KEYS = {"field", "values", "at", "axis"}


def read(name: str) -> Table:
    """Reads a table.

    Args:
      name: One of `BUILT_IN`, or the path of a file.

    Raises:
      UserError: if there is none, or it is not as above; the message says where.
    """
    path: Any = _FOLDER / f"{name}.toml" if name in BUILT_IN else pathlib.Path(name)
    try:
        return _table(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(
            f"--table={name}: there is no such table: give {', '.join(BUILT_IN)} or "
            f"a .toml file"
        ) from None
    except OSError as error:
        raise UserError(f"--table={name}: {error.strerror}") from error
    except ValueError as error:  # no text, no TOML, or UserError's own kind below
        raise UserError(f"--table={name}: {error}") from error


def _table(found: dict[str, Any]) -> Table:
    _check_keys("the file", found, _KEYS)
    common = _fields("the file", found)
    rows = [_row(number, x) for number, x in enumerate(_list(found, "row"), start=1)]
    if not rows:
        raise ValueError("no [[row]]: give at least one")
    for what, names in (
        ("name", [row.name for row in rows]),
        ("label", [row.label for row in rows]),
    ):
        if twice := {text for text in names if names.count(text) > 1}:
            raise ValueError(f"two rows have the {what} {min(twice)!r}")
    sweep = _sweep(found["sweep"]) if "sweep" in found else None
    taken = {sweep.field} if sweep else set()
    for row in rows:
        if double := sorted(row.fields.keys() & (common.keys() | taken)):
            raise ValueError(f"row {row.name!r} sets {double[0]}, which is set already")
    if double := sorted(common.keys() & taken):
        raise ValueError(f"[fields] sets {double[0]}, which is swept")
    labels = {row.name: row.label for row in rows}
    against = _get(found, "against", str, None)
    if against is not None and against not in labels:
        raise ValueError(f"against = {against!r} is no name of a row")
    return Table(
        about=_get(found, "about", str, ""),
        rows=tuple(_swept(rows, common, sweep)),
        against=labels.get(against) if against else None,
        paper=_get(found, "paper", int, None),
        config=_get(found, "config", str, None),
        seeds=tuple(_seeds(found)),
        sweep=sweep,
    )


def _row(number: int, found: Any) -> Row:
    what = f"row {number}"
    if not isinstance(found, dict):
        raise ValueError(f"{what} is no [[row]]")
    _check_keys(what, found, _ROW_KEYS)
    name = _get(found, "name", str, "")
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(
            f"{what}: name = {name!r} is to be that of a folder, of letters, digits, "
            f"_, - and ."
        )
    return Row(name, _get(found, "label", str, name), _fields(what, found))


def _sweep(found: Any) -> Sweep:
    if not isinstance(found, dict):
        raise ValueError("sweep is no [sweep]")
    _check_keys("[sweep]", found, _SWEEP_KEYS)
    field = _get(found, "field", str, "")
    if field not in FIELDS or field == "seed":
        raise ValueError(f"[sweep]: field = {field!r} is none that can be swept")
    values = _list(found, "values")
    if not values or len({_slug(value) for value in values}) < len(values):
        raise ValueError("[sweep]: values are to be some, all of them different")
    at = _list(found, "at") if "at" in found else values
    numbered = all(map(_is_number, at))
    if "at" in found and not (numbered and len(at) == len(values)):
        raise ValueError("[sweep]: at is to have a number for every value")
    places = at if numbered else range(len(values))
    axis = _get(found, "axis", str, field)
    return Sweep(field, tuple(values), tuple(places), numbered, axis)


def _swept(
    rows: list[Row], common: Mapping[str, Any], sweep: Sweep | None
) -> Iterator[Row]:
    """Yields all rows for one value after another."""
    if sweep is None:
        yield from (Row(r.name, r.label, {**common, **r.fields}) for r in rows)
        return
    for value in sweep.values:
        setting = "" if sweep.field == "data.name" else f"{sweep.field}={value}"
        for row in rows:
            fields = {**common, sweep.field: _text(value), **row.fields}
            yield Row(f"{_slug(value)}/{row.name}", row.label, fields, setting)


def _fields(what: str, found: Mapping[str, Any]) -> dict[str, Any]:
    fields = _get(found, "fields", dict, {})
    flat = {name: _text(value) for name, value in flatten(fields).items()}
    if unknown := sorted(flat.keys() - FIELDS.keys()):
        raise ValueError(f"{what}: there is no field {unknown[0]}")
    if "seed" in flat:
        raise ValueError(f"{what} sets seed: give seeds = [0, 1, 2] instead")
    return flat


def _text(value: Any) -> str:
    """Returns a value as the command line takes it."""
    return str(tuple(value)) if isinstance(value, list) else str(value)


def _slug(value: Any) -> str:
    return re.sub(r"[^\w.-]+", "_", _text(value))


def _seeds(found: Mapping[str, Any]) -> list[int]:
    seeds = _list(found, "seeds") if "seeds" in found else []
    if not all(type(x) is int for x in seeds) or len(set(seeds)) < len(seeds):
        raise ValueError("seeds are to be numbers, each once")
    return seeds


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _list(found: Mapping[str, Any], key: str) -> list[Any]:
    return _get(found, key, list, [])


def _get(found: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    value = found.get(key, default)
    if key in found and type(value) is not kind:
        raise ValueError(f"{key} = {value!r} is not what is expected there")
    return value


def _check_keys(what: str, found: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(found.keys() - known):
        raise ValueError(
            f"{what} has {unknown[0]!r}, which is none of {', '.join(sorted(known))}"
        )
