"""What a checkpoint says about itself, and whether a run may use it."""

from __future__ import annotations

import importlib.metadata
import json
import platform

import ml_collections

from qcs_jax.config import flatten
from qcs_jax.system.errors import UserError

# A run that goes on with other values would mix what must be compared.
_FIXED = ("seed", "data.", "train.batch_size")
_FREE = ("data.dir", "data.workers")

_OF_TRAINING = ("dropout", "cross_dropout", "drop_projection")  # of config.model


def describe(
    config: ml_collections.ConfigDict, class_names: tuple[str, ...], image_size: int
) -> dict:
    """What a checkpoint says about itself, as JSON gives it back."""
    description = {
        "config": config.to_dict(),
        "class_names": class_names,
        "preprocessing": {"resize": config.data.resize, "crop": image_size},
        "versions": versions(),
    }
    return json.loads(json.dumps(description))


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    packages = (
        "qcs_jax",
        "jax",
        "jaxlib",
        "flax",
        "optax",
        "orbax-checkpoint",
        "numpy",
    )
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # run from a bare checkout
            found[package] = "unknown"
    return found


def check_same_network(
    directory: object, found: dict, wanted: dict, *, fix: str
) -> None:
    """Raises UserError if two descriptions are of different networks.

    Rates of dropout may differ: they belong to training, not to the network.

    Args:
      directory: Where `found` comes from.
      found: Description of a checkpoint.
      wanted: Description of the run that reads it.
      fix: What the user can do; the last line of the message.
    """
    theirs, ours = found["config"]["model"], wanted["config"]["model"]
    different = [
        f"model.{field} is {theirs.get(field)!r} there, {value!r} here"
        for field, value in ours.items()
        if theirs.get(field) != value and field not in _OF_TRAINING
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
      directory: Of the checkpoints.
      found: Description of a checkpoint.
      wanted: Description of the run that goes on from it.
    """
    theirs, ours = flatten(found["config"]), flatten(wanted["config"])
    different = [
        f"{field} was {theirs[field]!r}, is now {value!r}"
        for field, value in ours.items()
        if field.startswith(_FIXED)
        and field not in _FREE
        and field in theirs  # earlier versions lack some
        and theirs[field] != value
    ]
    if different:
        raise UserError(
            f"{directory} was trained on other data:\n  "
            + "\n  ".join(different)
            + "\nGive these values, or give this run a --workdir of its own."
        )
