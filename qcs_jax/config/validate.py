"""Checks a configuration: that of a new run, and what any version has written."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

import ml_collections

from qcs_jax import models
from qcs_jax.config.base import FIELDS, Field, flatten
from qcs_jax.system.errors import UserError
from qcs_jax.system.runtime import versions

# Fields that every version has written.
_ALWAYS = ("seed", "dtype", "data.name", "model.name", "model.size")


def validate(config: ml_collections.ConfigDict, *, training: bool = True) -> None:
    """Raises UserError that names each impossible value and what is possible.

    What may not be trained with may still be evaluated, without `training`.
    """
    flat = flatten(config)
    wrong = _unknown_fields(flat)
    for name, field in FIELDS.items():
        if name in flat and (allowed := _not_allowed(field, flat[name])):
            wrong.append(f"{name}={flat[name]!r}: {allowed}")
    wrong = wrong or _contradictions(config, training)
    if wrong:
        raise UserError("this configuration cannot run:\n  " + "\n  ".join(wrong))


def parse_extra(text: str) -> list[tuple[str, list[str]]]:
    """Reads `data.extra`, "a:x,y+b/c:x", as [("a", ["x", "y"]), ("b/c", ["x"])]."""
    parts = []
    for part in filter(None, text.split("+")):
        name, _, classes = part.partition(":")
        names = [c.strip() for c in classes.split(",")]
        if not name.strip() or not all(names):
            raise ValueError(f"{part!r} is not DATASET:CLASS,CLASS")
        parts.append((name.strip(), names))
    return parts


def _unknown_fields(flat: dict[str, Any]) -> list[str]:
    wrong = []
    for name in flat.keys() - FIELDS.keys():
        close = difflib.get_close_matches(name, FIELDS, 1)
        hint = f"did you mean {close[0]}?" if close else "there is no such field"
        wrong.append(f"{name}: {hint}")
    wrong += [f"{name}: is missing" for name in FIELDS.keys() - flat.keys()]
    return sorted(wrong)


def _not_allowed(field: Field, value: Any) -> str:
    """What to give instead of a value that is not allowed, else ""."""
    if field.choices and value not in field.choices:
        return f"choose from {', '.join(field.choices)}"
    if field.range:
        low, high = field.range
        if not (isinstance(value, int | float) and low <= value <= high):
            return f"give {low} to {high}"
    return ""


def _contradictions(c: ml_collections.ConfigDict, training: bool) -> list[str]:
    crop = models.SIZES[c.model.size]["image_size"]
    area = tuple(c.augment.erase_area or ())
    extra = ""
    try:
        parse_extra(c.data.extra)
    except ValueError as error:
        extra = str(error)
    problems = [
        (
            c.data.resize < crop,
            f"data.resize={c.data.resize}: the {c.model.size} network sees crops of "
            f"{crop}x{crop}, give at least {crop}",
        ),
        (
            c.model.interaction == "sdpa" and c.model.name != "dcs",
            f"model.interaction='sdpa': needs two branches, set model.name=dcs (it is "
            f"{c.model.name})",
        ),
        (
            c.loss.distillation != "none" and c.model.name == "baseline",
            "loss.distillation: the baseline has no cross branch to learn from",
        ),
        (
            len(area) != 2 or not 0 < area[0] <= area[1] <= 1,
            f"augment.erase_area={area}: give 0 < low <= high <= 1",
        ),
        (extra, f"data.extra: {extra}; write DATASET:CLASS,CLASS+DATASET:CLASS"),
        (
            training and c.data.label_map,
            f"data.label_map={c.data.label_map!r}: is for evaluation, where a trained "
            f"network meets other classes; leave it out",
        ),
        (
            c.data.val_split and c.data.val_fraction,
            f"data.val_split={c.data.val_split}: data.val_fraction holds out images, "
            f"too; give one of them",
        ),
        (
            c.data.val_split and c.data.val_split == c.data.train_split,
            f"data.val_split={c.data.val_split}: is trained on; give another split",
        ),
        (
            c.optimizer.warmup >= c.train.epochs,
            f"optimizer.warmup={c.optimizer.warmup}: leaves nothing of "
            f"train.epochs={c.train.epochs}; give fewer epochs",
        ),
        (not c.data.name, "data.name: give the name that qcs-jax prepare printed"),
        (not c.name, "name: give the run a name"),
    ]
    return [problem for wrong, problem in problems if wrong]


def fields_of(where: object, description: Any) -> dict[str, Any]:
    """Returns all fields of a description's configuration by their dotted names.

    Raises:
      UserError: if it is no description, see `checkpoint.description`; or for a field,
        or a choice of one, that only another version knows.
    """
    try:
        config = description["config"]
        fields = flatten(config)
    except (KeyError, TypeError, AttributeError):
        fields = {}
    for name in _ALWAYS:
        if name not in fields:
            raise foreign(where, f"config.{name}")
    for name, value in fields.items():
        if name not in FIELDS:
            raise of_another_version(where, description, f"the field {name}")
        if (choices := FIELDS[name].choices) and value not in choices:
            raise of_another_version(where, description, f"{name}={value!r}")
    return all_fields(config)


def all_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all fields by their dotted names, as JSON has them.

    What did not exist yet when it was written had, in effect, its default.
    """
    defaults = {name: field.default for name, field in FIELDS.items()}
    return json.loads(json.dumps(defaults | flatten(config)))


def foreign(where: object, missing: str) -> UserError:
    """The error for what is not as any version has written it."""
    return UserError(
        f"{where} does not say which network it is of, it has no {missing}: it is "
        f"damaged, or not written by qcs_jax"
    )


def of_another_version(where: object, description: Any, unknown: str) -> UserError:
    """The error for what only the version that wrote it knows."""
    return UserError(
        f"{where} was written by {_named(description.get('versions'))}; this is "
        f"{_named(versions())}, which does not know {unknown}: update qcs_jax, or use "
        f"the version that wrote it"
    )


def _named(numbers: Any) -> str:
    """`qcs_jax 0.1.0, commit 1a2b3c4d5e6f`."""
    if not isinstance(numbers, Mapping) or "qcs_jax" not in numbers:
        return "another version of qcs_jax"
    commit = numbers.get("commit", "unknown")
    at = "" if commit == "unknown" else f", commit {commit[:12]}"
    return f"qcs_jax {numbers['qcs_jax']}{at}"
