"""The fields of a configuration by their dotted names."""

from __future__ import annotations

from typing import Any


def flatten(config: Any) -> dict[str, object]:
    """`{"train.epochs": 200, ...}`, from a configuration or its `to_dict()`."""
    flat = {}
    for key, value in config.items():
        if hasattr(value, "items"):
            flat |= {f"{key}.{rest}": v for rest, v in flatten(value).items()}
        else:
            flat[key] = value
    return flat
