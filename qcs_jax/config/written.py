"""Configurations that this version or another one has written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qcs_jax.config.base import FIELDS, flatten
from qcs_jax.system.errors import UserError
from qcs_jax.system.runtime import versions

# Fields that every version has written.
_ALWAYS = ("seed", "dtype", "data.name", "model.name", "model.size")


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
    return complete(config)


def complete(config: Mapping[str, Any]) -> dict[str, Any]:
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
