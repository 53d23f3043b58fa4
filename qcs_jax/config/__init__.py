"""The configuration of a run: its fields, recipes, and what they describe."""

from qcs_jax.config.base import (
    FIELDS,
    Role,
    base_config,
    create_model,
    fields_with,
    flatten,
)
from qcs_jax.config.validate import validate

__all__ = [
    "FIELDS",
    "Role",
    "base_config",
    "create_model",
    "fields_with",
    "flatten",
    "validate",
]
