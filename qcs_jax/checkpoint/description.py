"""What a checkpoint says about itself, and whether a run may use it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from typing import Any

import ml_collections

from qcs_jax.config import Role, fields_with, flatten
from qcs_jax.system.errors import UserError

# What the numbers depend on.
_PACKAGES = ("qcs_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def describe(
    config: ml_collections.ConfigDict, class_names: tuple[str, ...], image_size: int
) -> dict[str, Any]:
    """Returns what a checkpoint says about itself, as JSON gives it back."""
    description = {
        "config": config.to_dict(),
        "class_names": class_names,
        "preprocessing": {"resize": config.data.resize, "crop": image_size},
        "versions": versions(),
    }
    return json.loads(json.dumps(description))


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that do the computing."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # run from a bare checkout
            found[package] = "unknown"
    return found


def check_same_network(
    directory: object, found: dict, wanted: dict, *, fix: str
) -> None:
    """Raises UserError if two descriptions are of different networks.

    Args:
      directory: Where `found` comes from.
      found: Description of a checkpoint.
      wanted: Description of the run that reads it.
      fix: What the user can do; the last line of the message.
    """
    theirs, ours = flatten(found["config"]), flatten(wanted["config"])
    different = [
        f"{field} is {theirs.get(field)!r} there, {ours.get(field)!r} here"
        for field in fields_with(Role.NETWORK)
        if theirs.get(field) != ours.get(field)
    ]
    if found["class_names"] != wanted["class_names"]:
        different.append(
            f"classes are {', '.join(found['class_names'])} there, "
            f"{', '.join(wanted['class_names'])} here"
        )
    if different:
        raise UserError(
            f"{directory} holds checkpoints of another network:\n  "
            + "\n  ".join(different)
            + f"\n{fix}"
        )


def check_same_data(directory: object, found: dict, wanted: dict) -> None:
    """Raises UserError if a run would go on with other images or other draws of them.

    Held-out images could be ones that were trained on, test metrics those of another
    test, and epochs of another length.

    Args:
      directory: Folder of the checkpoints.
      found: Description of a checkpoint.
      wanted: Description of the run that goes on from it.
    """
    theirs, ours = flatten(found["config"]), flatten(wanted["config"])
    different = [
        f"{field} was {theirs.get(field)!r}, is now {ours[field]!r}"
        for field in fields_with(Role.FIXED)
        if theirs.get(field) != ours[field]
    ]
    if different:
        raise UserError(
            f"{directory} was trained on other data:\n  "
            + "\n  ".join(different)
            + "\nGive these values, or give this run a --workdir of its own."
        )
