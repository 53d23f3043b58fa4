"""Temporary."""

from __future__ import annotations

import os
from collections.abc import Iterator

from qcs_jax.images.decode import EXTENSIONS


def images_below(folder: str | os.PathLike) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(EXTENSIONS) and not name.startswith("."):
                yield os.path.join(parent, name)
