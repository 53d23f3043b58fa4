"""The names of the published PyTorch checkpoints, as one table read both ways.

A row says which PyTorch module is which module here; its kind says how their arrays
correspond. `{s}`, `{u}`, `{i}`, `{l}`, `{v}` stand for what both names share.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Transform:
    """How an array changes from PyTorch to here, and back."""

    to_jax: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]


SAME = Transform(lambda x: x, lambda x: x)
LINEAR = Transform(np.transpose, np.transpose)
CONV = Transform(
    lambda x: x.transpose(2, 3, 1, 0),  # [out, in, h, w] -> [h, w, in, out]
    lambda x: x.transpose(3, 2, 0, 1),
)

# PyTorch's leaf -> (collection, leaf here, transform).
_NORM = {"weight": ("params", "scale", SAME), "bias": ("params", "bias", SAME)}
KINDS = {
    "array": {"": ("params", "", SAME)},
    "conv": {"weight": ("params", "kernel", CONV), "bias": ("params", "bias", SAME)},
    "linear": {
        "weight": ("params", "kernel", LINEAR),
        "bias": ("params", "bias", SAME),
    },
    "layer_norm": _NORM,
    "batch_norm": _NORM
    | {
        "running_mean": ("batch_stats", "mean", SAME),
        "running_var": ("batch_stats", "var", SAME),
    },
    "prelu": {"weight": ("params", "slope", SAME)},
}

_STEM = "ir_back.input_layer"
_UNIT, _UNIT_HERE = "ir_back.body{s}.{u}", "base/backbone/stage{s}_unit{u}"
_BLOCK, _BLOCK_HERE = "VIT_{v}.blocks.{i}", "{v}/vit/block{i}"
_CSA, _CSA_HERE = "cross_attention_{l}", "cross/csa{l}"

MODULES = (
    (f"{_STEM}.0", "base/backbone/stem_conv", "conv"),
    (f"{_STEM}.1", "base/backbone/stem_norm", "batch_norm"),
    (f"{_STEM}.2", "base/backbone/stem_prelu", "prelu"),
    (f"{_UNIT}.res_layer.0", f"{_UNIT_HERE}/norm1", "batch_norm"),
    (f"{_UNIT}.res_layer.1", f"{_UNIT_HERE}/conv1", "conv"),
    (f"{_UNIT}.res_layer.2", f"{_UNIT_HERE}/prelu", "prelu"),
    (f"{_UNIT}.res_layer.3", f"{_UNIT_HERE}/conv2", "conv"),
    (f"{_UNIT}.res_layer.4", f"{_UNIT_HERE}/norm2", "batch_norm"),
    (f"{_UNIT}.shortcut_layer.0", f"{_UNIT_HERE}/shortcut_conv", "conv"),
    (f"{_UNIT}.shortcut_layer.1", f"{_UNIT_HERE}/shortcut_norm", "batch_norm"),
    ("conv{l}", "base/tokens/reduce{l}", "conv"),
    ("embed_q.{i}", "base/tokens/embed1_{i}", "conv"),
    ("embed_k.{i}", "base/tokens/embed2_{i}", "conv"),
    ("embed_v.proj", "base/tokens/embed3_0", "conv"),
    ("VIT_{v}.cls_token", "{v}/vit/class_token", "array"),
    ("VIT_{v}.pos_embed", "{v}/vit/positions", "array"),
    (f"{_BLOCK}.norm1", f"{_BLOCK_HERE}/norm1", "layer_norm"),
    (f"{_BLOCK}.attn.qkv", f"{_BLOCK_HERE}/attention/qkv", "linear"),
    (f"{_BLOCK}.attn.proj", f"{_BLOCK_HERE}/attention/out", "linear"),
    (f"{_BLOCK}.norm2", f"{_BLOCK_HERE}/norm2", "layer_norm"),
    (f"{_BLOCK}.mlp.fc1", f"{_BLOCK_HERE}/mlp/fc1", "linear"),
    (f"{_BLOCK}.mlp.fc2", f"{_BLOCK_HERE}/mlp/fc2", "linear"),
    ("VIT_{v}.norm", "{v}/vit/norm", "layer_norm"),
    ("VIT_{v}.se_block.linear1", "{v}/vit/gate1", "linear"),
    ("VIT_{v}.se_block.linear2", "{v}/vit/gate2", "linear"),
    ("VIT_{v}.head.linear", "{v}/vit/head", "linear"),
    (f"{_CSA}.theta", f"{_CSA_HERE}/theta", "array"),
    (f"{_CSA}.norm1", f"{_CSA_HERE}/norm1", "layer_norm"),
    (f"{_CSA}.proj", f"{_CSA_HERE}/qk_v", "linear"),
    (f"{_CSA}.norm2", f"{_CSA_HERE}/norm2", "layer_norm"),
    (f"{_CSA}.mlp.fc1", f"{_CSA_HERE}/mlp/fc1", "linear"),
    (f"{_CSA}.mlp.fc2", f"{_CSA_HERE}/mlp/fc2", "linear"),
)

# Modules that the published code creates and never uses: they receive no gradient.
DEAD = (
    r".*\.num_batches_tracked",
    r"VIT_\w+\.(patch_embed\.proj|eca_block\.conv|CON1|IRLinear[12])\.\w+",
    r"VIT_\w+\.blocks\.\d+\.conv\.\w+",
    r"ir_back\.output_layer\.\d+\.\w+",
    r"ir_back\.body4\.\d+\.(res_layer|shortcut_layer)\.\d+\.\w+",
)


@dataclasses.dataclass(frozen=True)
class _Row:
    torch: str
    here: str
    transform: Transform


def _rows() -> list[_Row]:
    rows = []
    for torch_module, module, kind in MODULES:
        for torch_leaf, (collection, leaf, transform) in KINDS[kind].items():
            torch_name = ".".join(filter(None, (torch_module, torch_leaf)))
            here = "/".join(filter(None, (collection, module, leaf)))
            rows.append(_Row(torch_name, here, transform))
    return rows


def _pattern(template: str) -> re.Pattern[str]:
    """`a{i}.b` -> a regular expression with a group `i`."""
    groups = {"v": "base|cross"}
    parts = re.split(r"\{(\w)\}", template)
    for i in range(1, len(parts), 2):
        parts[i] = f"(?P<{parts[i]}>{groups.get(parts[i], '[0-9]+')})"
    for i in range(0, len(parts), 2):
        parts[i] = re.escape(parts[i])
    return re.compile("".join(parts))


_ROWS = _rows()
_FROM_TORCH = [(_pattern(row.torch), row) for row in _ROWS]
_FROM_HERE = [(_pattern(row.here), row) for row in _ROWS]


def path_of(key: str) -> tuple[str, Transform] | None:
    """PyTorch key -> path here (`params/base/...`) and transform; None if unknown."""
    for pattern, row in _FROM_TORCH:
        if match := pattern.fullmatch(key):
            return row.here.format(**match.groupdict()), row.transform
    return None


def key_of(path: str) -> tuple[str, Transform] | None:
    """Path here -> PyTorch key and transform; None if PyTorch has no such array."""
    for pattern, row in _FROM_HERE:
        if match := pattern.fullmatch(path):
            return row.torch.format(**match.groupdict()), row.transform
    return None


def is_dead(key: str) -> bool:
    """Whether a PyTorch key belongs to a module that is never used."""
    return any(re.fullmatch(pattern, key) for pattern in DEAD)
