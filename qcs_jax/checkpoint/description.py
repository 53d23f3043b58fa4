"""What a checkpoint says about itself, whether a run may use it, and its errors."""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Iterable
from typing import Any

import jax
import ml_collections
import numpy as np

from qcs_jax.config import FIELDS, Role, fields_with
from qcs_jax.config.validate import all_fields, fields_of, foreign, of_another_version
from qcs_jax.models import torch_layout
from qcs_jax.system.command import typed
from qcs_jax.system.errors import UserError
from qcs_jax.system.runtime import versions

# Of modules that only ablations have: PyTorch's code, which has names for all others,
# does not know them.
_UNNAMED = "params/cross/head/"


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or of something else."""


class DamagedError(CheckpointError):
    """A checkpoint cannot be read back as it was saved."""


class NotSavedError(CheckpointError):
    """A checkpoint could not be written, though others may be."""


def describe(
    config: ml_collections.ConfigDict, class_names: tuple[str, ...], image_size: int
) -> dict[str, Any]:
    """Returns what a checkpoint says about itself, as JSON gives it back."""
    description = {
        "config": config.to_dict(),
        "class_names": class_names,
        "preprocessing": {"resize": config.data.resize, "crop": image_size},
        "versions": versions(),
        "command": _command(),
    }
    return json.loads(json.dumps(description))


def check_known(where: object, description: Any, arrays: Iterable[str]) -> None:
    """Raises UserError unless this version knows a description and names of arrays."""
    fields_of(where, description)
    names = description.get("class_names")
    if not isinstance(names, list):  # empty, of a backbone alone
        raise foreign(where, "class_names")
    preprocessing = description.get("preprocessing")
    resize = preprocessing.get("resize") if isinstance(preprocessing, dict) else None
    if type(resize) is not int:
        raise foreign(where, "preprocessing.resize")
    for array in arrays:
        if not torch_layout.key_of(array)[0] and not array.startswith(_UNNAMED):
            raise of_another_version(where, description, f"the array {array}")


def _command() -> str:
    """The command line of this process, without the place of Python or of qcs-jax."""
    words = sys.orig_argv[1:]
    if words and pathlib.Path(words[0]).stem == "qcs-jax":
        return typed("qcs-jax", *words[1:])
    return f"python {typed(*words)}"


def differences(
    theirs: dict, ours: dict, fields: Iterable[str] = tuple(FIELDS)
) -> list[tuple[str, Any, Any]]:
    """Returns which of the fields differ: name, value in theirs and value in ours."""
    there, here = (all_fields(x["config"]) for x in (theirs, ours))
    return [(x, there[x], here[x]) for x in fields if there[x] != here[x]]


def check_same_network(
    directory: object, theirs: dict, ours: dict, *, fix: str
) -> None:
    """Raises UserError if a checkpoint is of another network than the run."""
    reason = f"{directory} holds checkpoints of another network"
    _check_same(reason, theirs, ours, Role.NETWORK, fix)


def check_same_start(directory: object, theirs: dict, ours: dict) -> None:
    """Raises UserError if a run would go on with another of the fields that are fixed.

    Held-out images could be ones that were trained on, test metrics those of another
    test, epochs of another length, and a state would lack what the run needs.
    """
    fix = "Give these values, or give this run a --workdir of its own."
    reason = f"{directory} was begun otherwise"
    _check_same(reason, theirs, ours, Role.FIXED, fix)


def _check_same(reason: str, theirs: dict, ours: dict, role: Role, fix: str) -> None:
    different = [
        f"{field} is {there!r} there, {here!r} here"
        for field, there, here in differences(theirs, ours, fields_with(role))
    ]
    there, here = (", ".join(x["class_names"]) for x in (theirs, ours))
    if there != here:
        different.append(f"classes are {there} there, {here} here")
    if different:
        raise UserError("\n  ".join([f"{reason}:", *different]) + f"\n{fix}")


def not_finite(trees: Any) -> str:
    """Says which NumPy arrays have numbers that are not finite, "" if none has."""
    names = [
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, array in jax.tree_util.tree_leaves_with_path(trees)
        if not np.isfinite(array).all()
    ]
    others = f", as {len(names) - 1} other arrays" if names[1:] else ""
    return f"{names[0]} has numbers that are not finite{others}" if names else ""
