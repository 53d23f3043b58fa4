"""Where the recipes and the builders of data sets are."""

from __future__ import annotations

import pathlib

_PACKAGE = pathlib.Path(__file__).parents[1]


def find(name: str) -> pathlib.Path:
    """Returns the folder `configs` or `data`.

    A wheel has it inside the package, a checkout beside it.
    """
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name
