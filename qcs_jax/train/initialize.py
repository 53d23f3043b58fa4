"""Starts training from the weights of another checkpoint."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import flax.traverse_util
import numpy as np

from qcs_jax import checkpoint, convert
from qcs_jax.system.errors import UserError

# Only networks that weigh two matrices have a theta.
THETAS = ("cross/csa1/theta", "cross/csa2/theta", "cross/csa3/theta")
# What a network of other classes has in another shape.
HEADS = ("base/vit/head", "cross/vit/head", "cross/head")
# What a checkpoint may lack or have in excess: whole parts, never a piece of one.
PARTS = (
    *THETAS,
    *HEADS,
    "base/backbone",
    "base/tokens",
    "base/vit",
    "cross/csa1",
    "cross/csa2",
    "cross/csa3",
    "cross/vit",
)

_SHOWN = 20  # misfits of a kind in a message


def initialize(
    variables: Mapping[str, Any], path: str | os.PathLike[str]
) -> tuple[dict[str, Any], list[str]]:
    """Replaces fresh variables by those of a checkpoint, as far as it has them.

    Args:
      variables: `{"params": ..., "batch_stats": ...}`, as `models.init` gives them.
      path: An Orbax checkpoint (a run, its checkpoints, or one step), or a PyTorch
        file of a whole network or of the backbone alone.

    Returns:
      Variables of the same shapes, and notes for the user: which parts came from the
      checkpoint, which stay fresh and why, and which of it are not used.

    Raises:
      UserError: if the checkpoint cannot be read, or its parts are of another size.
    """
    ours = flax.traverse_util.flatten_dict(dict(variables), sep="/")
    theirs = flax.traverse_util.flatten_dict(_read(path), sep="/")
    here, there = _parts(ours), _parts(theirs)
    heads = _heads_of_other_classes(ours, theirs)
    shared = (here & there) - heads
    _check_fit(path, _within(shared, ours), _within(shared, theirs))
    merged = {**ours, **_within(shared, theirs)}
    notes = [f"{_listed(shared)}: weights of {os.fspath(path)}"]
    if heads:
        notes.append(f"{_listed(heads)}: fresh, the checkpoint has other classes")
    if here - there:
        notes.append(f"{_listed(here - there)}: fresh, the checkpoint has none")
    if there - here:
        notes.append(f"{_listed(there - here)}: not used, this network has none")
    return flax.traverse_util.unflatten_dict(merged, sep="/"), notes


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    if pathlib.Path(path).is_dir():
        return checkpoint.load_variables(path)[0]
    return convert.read_pth(path).variables


def _part(name: str) -> str:
    """`params/base/vit/head/bias` -> `base/vit/head`: the first of `PARTS` it is in."""
    module = name.partition("/")[2]
    return next((p for p in PARTS if f"{module}/".startswith(f"{p}/")), module)


def _parts(names: Iterable[str]) -> set[str]:
    return set(map(_part, names))


def _within(parts: set[str], flat: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flat.items() if _part(name) in parts}


def _heads_of_other_classes(ours: Mapping, theirs: Mapping) -> set[str]:
    def classes(flat: Mapping[str, Any], head: str) -> int | None:
        bias = flat.get(f"params/{head}/bias")
        return None if bias is None else len(bias)

    return {
        head
        for head in HEADS
        if None not in (k := [classes(ours, head), classes(theirs, head)])
        and k[0] != k[1]
    }


def _check_fit(path: object, ours: Mapping, theirs: Mapping) -> None:
    """Raises UserError unless both have the same arrays, in name and shape."""
    shapes = [
        f"{name} is {list(theirs[name].shape)} there, {list(ours[name].shape)} here"
        for name in sorted(ours.keys() & theirs.keys())
        if np.shape(theirs[name]) != np.shape(ours[name])
    ]
    kinds = {
        "are only here": sorted(ours.keys() - theirs.keys()),
        "are only there": sorted(theirs.keys() - ours.keys()),
        "have another shape": shapes,
    }
    told = [
        f"{len(names)} arrays {kind}: {', '.join(names[:_SHOWN])}"
        + (" ..." if len(names) > _SHOWN else "")
        for kind, names in kinds.items()
        if names
    ]
    if told:
        raise UserError(
            f"{path} is of a network of another size, check config.model:\n  "
            + "\n  ".join(told)
        )


def _listed(parts: set[str]) -> str:
    """Sorted, without what is inside of another part that is listed."""
    outer = {p for p in parts if not any(p.startswith(f"{o}/") for o in parts)}
    return ", ".join(sorted(outer))
