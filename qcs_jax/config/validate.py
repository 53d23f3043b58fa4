"""Checks a configuration, and reports everything that is wrong with it at once."""

from __future__ import annotations

import difflib
from typing import Any

import ml_collections

from qcs_jax import models
from qcs_jax.config.base import FIELDS, Field, flatten
from qcs_jax.system.errors import UserError


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
    problems = []

    def refuse(when: Any, problem: str) -> None:
        if when:
            problems.append(problem)

    crop = models.SIZES[c.model.size]["image_size"]
    refuse(
        c.data.resize < crop,
        f"data.resize={c.data.resize}: the {c.model.size} network sees crops of "
        f"{crop}x{crop}, give at least {crop}",
    )
    refuse(
        c.model.interaction == "sdpa" and c.model.name != "dcs",
        f"model.interaction='sdpa': needs two branches, set model.name=dcs (it is "
        f"{c.model.name})",
    )
    refuse(
        c.loss.distillation != "none" and c.model.name == "baseline",
        "loss.distillation: the baseline has no cross branch to learn from",
    )
    area = tuple(c.augment.erase_area or ())
    refuse(
        len(area) != 2 or not 0 < area[0] <= area[1] <= 1,
        f"augment.erase_area={area}: give 0 < low <= high <= 1",
    )
    try:
        parse_extra(c.data.extra)
    except ValueError as error:
        refuse(True, f"data.extra: {error}; write DATASET:CLASS,CLASS+DATASET:CLASS")
    refuse(
        training and c.data.label_map,
        f"data.label_map={c.data.label_map!r}: is for evaluation, where a trained "
        f"network meets other classes; leave it out",
    )
    refuse(
        c.data.val_split and c.data.val_fraction,
        f"data.val_split={c.data.val_split}: data.val_fraction holds out images, too; "
        f"give one of them",
    )
    refuse(
        c.data.val_split and c.data.val_split == c.data.train_split,
        f"data.val_split={c.data.val_split}: is trained on; give another split",
    )
    refuse(
        c.optimizer.warmup >= c.train.epochs,
        f"optimizer.warmup={c.optimizer.warmup}: leaves nothing of "
        f"train.epochs={c.train.epochs}; give fewer epochs",
    )
    refuse(not c.data.name, "data.name: give the name that qcs-jax prepare printed")
    refuse(not c.name, "name: give the run a name")
    return problems
