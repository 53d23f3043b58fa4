"""What a checkpoint says about itself, and whether a run may use it."""

from __future__ import annotations

import json
import pathlib
import shlex
import sys
from collections.abc import Iterable
from typing import Any

import ml_collections

from qcs_jax.config import FIELDS, Role, fields_with, written
from qcs_jax.models import torch_layout
from qcs_jax.system.errors import UserError
from qcs_jax.system.versions import versions

# Of modules that only ablations have: PyTorch's code, which has names for all others,
# does not know them.
_UNNAMED = "params/cross/head/"


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
    """Raises UserError unless this version understands a checkpoint.

    Args:
      where: The checkpoint.
      description: What it says about itself.
      arrays: Names of its arrays, such as "params/base/vit/head/bias".
    """
    written.fields_of(where, description)
    names, seen = description.get("class_names"), description.get("preprocessing")
    if not names or not isinstance(names, list):
        raise written.foreign(where, "class_names")
    if not isinstance(seen, dict) or type(seen.get("resize")) is not int:
        raise written.foreign(where, "preprocessing.resize")
    for array in arrays:
        if not torch_layout.key_of(array)[0] and not array.startswith(_UNNAMED):
            raise written.of_another_version(where, description, f"the array {array}")


def _command() -> str:
    """The command line of this process, without the place of Python or of qcs-jax."""
    words = sys.orig_argv[1:]
    if words and pathlib.Path(words[0]).name == "qcs-jax":
        return shlex.join(["qcs-jax", *words[1:]])
    return f"python {shlex.join(words)}"


def differences(
    found: dict, wanted: dict, fields: Iterable[str] = tuple(FIELDS)
) -> list[tuple[str, Any, Any]]:
    """Returns which of the fields differ: name, value found and value wanted."""
    there, here = (written.complete(x["config"]) for x in (found, wanted))
    return [(x, there[x], here[x]) for x in fields if there[x] != here[x]]


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
