"""The spellings of published files, read as the one that the table knows."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

import numpy as np

_PARALLEL = "module."  # before every name of a data-parallel model
_BACKBONE = "ir_back."  # which files of the backbone alone leave out
_BACKBONE_PARTS = re.compile(r"(input_layer|output_layer|body[0-9]?)\.")
_EMBED = re.compile(r"embed_([123])\.")
_FLAT = re.compile(r"ir_back\.body\.([0-9]{1,4})\.(.*)")


def read(
    state_dict: Mapping[str, np.ndarray],
) -> tuple[dict[str, str], list[str], list[str]]:
    """Names every array of a state_dict as the published code does.

    Returns:
      The name that the table knows -> the file's key; keys that mean what another one
      already means; and what was read differently from how it is spelled.
    """
    renamed = {key: _plain(key) for key in state_dict}
    shapes = {name: np.shape(state_dict[key]) for key, name in renamed.items()}
    stages = _stages(shapes)
    keys: dict[str, str] = {}
    twice = []
    for key, name in renamed.items():
        if flat := _FLAT.fullmatch(name):
            stage, unit = stages[int(flat[1])]
            name = f"{_BACKBONE}body{stage}.{unit}.{flat[2]}"
        if keys.setdefault(name, key) != key:
            twice.append(key)
    return keys, twice, _notes(list(state_dict), stages)


def _plain(key: str) -> str:
    name = key.removeprefix(_PARALLEL)
    if _BACKBONE_PARTS.match(name):
        name = _BACKBONE + name
    return _EMBED.sub(lambda m: f"embed_{'qkv'[int(m[1]) - 1]}.", name, count=1)


def _stages(shapes: Mapping[str, tuple[int, ...]]) -> dict[int, tuple[int, int]]:
    """Number of a unit in a flat body -> stage and unit: a new width, a new stage."""
    widths: dict[int, int] = {}
    for name, shape in shapes.items():
        if flat := _FLAT.fullmatch(name):
            tells = flat[2] == "res_layer.3.weight" and shape
            widths[int(flat[1])] = shape[0] if tells else widths.get(int(flat[1]), 0)
    stages: dict[int, tuple[int, int]] = {}
    runs = itertools.groupby(sorted(widths), key=widths.__getitem__)
    for stage, (_, run) in enumerate(runs, start=1):
        numbers = list(run)
        stages |= {n: (stage, n - numbers[0]) for n in numbers}
    return stages


def _notes(keys: list[str], stages: Mapping[int, tuple[int, int]]) -> list[str]:
    parallel = sum(key.startswith(_PARALLEL) for key in keys)
    plain = [key.removeprefix(_PARALLEL) for key in keys]
    notes = []
    if parallel:
        notes.append(f"prefix {_PARALLEL!r} left out of {parallel} of {len(keys)} keys")
    if any(map(_BACKBONE_PARTS.match, plain)):
        notes.append(f"backbone names read as if they had the prefix {_BACKBONE!r}")
    if stages:
        last = max(stage for stage, _ in stages.values())
        notes.append(f"body.0 to body.{max(stages)} read as body1 to body{last}")
    if any(map(_EMBED.match, plain)):
        notes.append("embed_1, embed_2, embed_3 read as embed_q, embed_k, embed_v")
    return notes
