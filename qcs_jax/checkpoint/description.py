"""What a checkpoint says about itself, and whether a run may use it."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import pathlib
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import ml_collections

from qcs_jax.config import FIELDS, Role, fields_with, flatten
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
        "command": _command(),
    }
    return json.loads(json.dumps(description))


def _command() -> str:
    """The command line of this process, without the place of Python or of qcs-jax."""
    words = sys.orig_argv[1:]
    if words and pathlib.Path(words[0]).name == "qcs-jax":
        return shlex.join(["qcs-jax", *words[1:]])
    return f"python {shlex.join(words)}"


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that do the computing.

    Those of a checkout also say its commit.
    """
    found = {"python": platform.python_version(), "commit": _commit()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # run from a bare checkout
            found[package] = "unknown"
    return found


@functools.cache
def _commit() -> str:
    """The commit of the checkout that this file is in; "unknown" outside of one."""
    checkout = pathlib.Path(__file__).parents[2]
    if not (checkout / "pyproject.toml").exists():  # installed, perhaps within another
        return "unknown"
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    except OSError:  # no git
        return "unknown"
    return done.stdout.strip() or "unknown"


def differences(
    found: dict, wanted: dict, fields: Iterable[str] = tuple(FIELDS)
) -> list[tuple[str, Any, Any]]:
    """Returns which of the fields differ: name, value found and value wanted.

    A field that did not exist yet had, in effect, its default.
    """
    theirs, ours = flatten(found["config"]), flatten(wanted["config"])
    defaults = [(name, FIELDS[name].default) for name in fields]
    values = [(name, theirs.get(name, d), ours.get(name, d)) for name, d in defaults]
    return [(name, there, here) for name, there, here in values if there != here]


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
    different = [
        f"{field} is {theirs!r} there, {ours!r} here"
        for field, theirs, ours in differences(found, wanted, fields_with(Role.NETWORK))
    ]
    if found["class_names"] != wanted["class_names"]:
        different.append(
            f"classes are {', '.join(found['class_names'])} there, "
            f"{', '.join(wanted['class_names'])} here"
        )
    _refuse(f"{directory} holds checkpoints of another network", different, fix)


def check_same_data(directory: object, found: dict, wanted: dict) -> None:
    """Raises UserError if a run would go on with other images or other draws of them.

    Held-out images could be ones that were trained on, test metrics those of another
    test, and epochs of another length.

    For the arguments see `check_same_network`.
    """
    different = [
        f"{field} was {before!r}, is now {now!r}"
        for field, before, now in differences(found, wanted, fields_with(Role.FIXED))
    ]
    fix = "Give these values, or give this run a --workdir of its own."
    _refuse(f"{directory} was trained on other data", different, fix)


def _refuse(reason: str, different: list[str], fix: str) -> None:
    if different:
        raise UserError("\n  ".join([f"{reason}:", *different]) + f"\n{fix}")
