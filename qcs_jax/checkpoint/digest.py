"""SHA-256 of what a checkpoint holds, as it was in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np


def of(items: dict[str, Any]) -> dict[str, str]:
    """Digest of every array with its shape and type, and of the JSON in `config`.

    Args:
      items: Trees of arrays; under "config" what JSON can express.

    Returns:
      Path -> hexadecimal digest, such as "params/base/vit/head/kernel".
    """
    return {name: sha.hexdigest() for name, sha in _hash(items)}


def changed(items: dict[str, Any], recorded: object) -> list[str]:
    """Paths in `items` that are not as `recorded`, what `of` once gave, says."""
    recorded = recorded if isinstance(recorded, dict) else {}
    return [name for name, sha in of(items).items() if recorded.get(name) != sha]


def _hash(items: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    trees = {name: tree for name, tree in items.items() if name != "config"}
    for path, leaf in jax.tree_util.tree_leaves_with_path(trees):
        array = np.asarray(leaf)
        sha = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
        yield jax.tree_util.keystr(path, simple=True, separator="/"), sha
    if "config" in items:
        text = json.dumps(items["config"], sort_keys=True)
        yield "config", hashlib.sha256(text.encode())
