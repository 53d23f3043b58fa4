"""The names of the published PyTorch checkpoints, as one table read both ways.

A row says which PyTorch module is which module here; its kind says how their arrays
correspond. `{s}`, `{u}`, `{i}`, `{l}`, `{n}`, `{v}` stand for what both names share. A
second table has the arrays that only PyTorch has: no result depends on them.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from qcs_jax.models.qcs import QCS


@dataclasses.dataclass(frozen=True)
class Transform:
    """How an array changes from PyTorch to here, and back: its axes change places."""

    axes: tuple[int, ...] = ()  # that each axis here has in PyTorch; empty: the same

    def to_jax(self, array: np.ndarray) -> np.ndarray:
        return array.transpose(self.axes) if self.axes else array

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        return array.transpose(np.argsort(self.axes)) if self.axes else array


SAME = Transform()
LINEAR = Transform((1, 0))
CONV = Transform((2, 3, 1, 0))  # [out, in, h, w] -> [h, w, in, out]

# What each kind of module has: PyTorch's leaf -> leaf here and transform.
_NORM = {"weight": ("scale", SAME), "bias": ("bias", SAME)}
_MOMENTS = {"running_mean": ("mean", SAME), "running_var": ("var", SAME)}
KINDS = {
    "array": {"": ("", SAME)},
    "conv": {"weight": ("kernel", CONV), "bias": ("bias", SAME)},
    "linear": {"weight": ("kernel", LINEAR), "bias": ("bias", SAME)},
    "layer_norm": _NORM,
    "batch_norm": _NORM | _MOMENTS,
    "prelu": {"weight": ("slope", SAME)},
}
_COUNTER = "num_batches_tracked"  # of every batch normalisation
STATISTICS = (*_MOMENTS, _COUNTER)  # no parameters

_STEM = "ir_back.input_layer"
_UNIT, _UNIT_HERE = "ir_back.body{s}.{u}", "base/backbone/stage{s}_unit{u}"
_PLAIN, _PLAIN_HERE = "ir_back.stem.{u}", "base/backbone/stem_unit{u}"  # `resnet29`
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
    (f"{_PLAIN}.res_layer.1", f"{_PLAIN_HERE}/conv1", "conv"),
    (f"{_PLAIN}.res_layer.2", f"{_PLAIN_HERE}/norm1", "batch_norm"),
    (f"{_PLAIN}.res_layer.3", f"{_PLAIN_HERE}/conv2", "conv"),
    (f"{_PLAIN}.res_layer.4", f"{_PLAIN_HERE}/norm2", "batch_norm"),
    ("conv{l}", "base/tokens/reduce{l}", "conv"),
    ("embed_q.{i}", "base/tokens/embed1_{i}", "conv"),
    ("embed_k.{i}", "base/tokens/embed2_{i}", "conv"),
    ("embed_v.proj", "base/tokens/embed3_0", "conv"),
    ("VIT_{v}.cls_token", "{v}/vit/class_token", "array"),
    ("VIT_{v}.pos_embed", "{v}/vit/positions", "array"),
    (f"{_BLOCK}.norm{{n}}", f"{_BLOCK_HERE}/norm{{n}}", "layer_norm"),
    (f"{_BLOCK}.attn.qkv", f"{_BLOCK_HERE}/attention/qkv", "linear"),
    (f"{_BLOCK}.attn.proj", f"{_BLOCK_HERE}/attention/out", "linear"),
    (f"{_BLOCK}.mlp.fc{{n}}", f"{_BLOCK_HERE}/mlp/fc{{n}}", "linear"),
    ("VIT_{v}.norm", "{v}/vit/norm", "layer_norm"),
    ("VIT_{v}.se_block.linear{n}", "{v}/vit/gate{n}", "linear"),
    ("VIT_{v}.head.linear", "{v}/vit/head", "linear"),
    (f"{_CSA}.theta", f"{_CSA_HERE}/theta", "array"),
    (f"{_CSA}.norm{{n}}", f"{_CSA_HERE}/norm{{n}}", "layer_norm"),
    (f"{_CSA}.proj", f"{_CSA_HERE}/qk_v", "linear"),
    (f"{_CSA}.mlp.fc{{n}}", f"{_CSA_HERE}/mlp/fc{{n}}", "linear"),
)


def side(model: QCS) -> int:
    """Tokens along each side of a pyramid level: four strides of two lie before it."""
    return math.ceil(model.image_size / model.subsample / 16)


def _positions(model: QCS) -> int:
    """Tokens that the ViTs see: three levels, and the class token."""
    return 3 * side(model) ** 2 + 1


_FACE = 512  # width of the face embedding that the backbone once ended in
_OUTPUT = "ir_back.output_layer"

# Arrays of modules that the published code creates and never uses: no gradient ever
# reaches them. Their shapes are written so that it still finds all that it asks for.
DEAD: tuple[tuple[str, Callable[[QCS], tuple[int, ...]]], ...] = (
    ("VIT_{v}.patch_embed.proj.weight", lambda m: (m.features, m.widths[-1], 1, 1)),
    ("VIT_{v}.patch_embed.proj.bias", lambda m: (m.features,)),
    ("VIT_{v}.eca_block.conv.weight", lambda m: (1, 1, 5)),
    ("VIT_{v}.CON1.weight", lambda m: (m.features, m.widths[-1], 1, 1)),
    ("VIT_{v}.IRLinear1.weight", lambda m: (m.features, 1024)),
    ("VIT_{v}.IRLinear1.bias", lambda m: (m.features,)),
    ("VIT_{v}.IRLinear2.weight", lambda m: (_FACE, m.features)),
    ("VIT_{v}.IRLinear2.bias", lambda m: (_FACE,)),
    (f"{_BLOCK}.conv.weight", lambda m: (_positions(m), _positions(m), 1)),
    (f"{_BLOCK}.conv.bias", lambda m: (_positions(m),)),
    *(
        (f"{_OUTPUT}.{n}.{leaf}", lambda m: (_FACE,))
        for n in (0, 4)
        for leaf in ("weight", "bias", "running_mean", "running_var")
    ),
    (f"{_OUTPUT}.3.weight", lambda m: (_FACE, _FACE * side(m) ** 2)),
    (f"{_OUTPUT}.3.bias", lambda m: (_FACE,)),
)

# What `ir_back` has in files of the whole face recognition network: a fourth stage.
_STAGE4 = r"ir_back\.body4\.[0-9]+\.(res_layer|shortcut_layer)\.[0-9]+\.\w+"


def _pattern(template: str) -> re.Pattern[str]:
    """`a{i}.b` -> a regular expression with a group `i`."""
    number, few = "[0-9]+", "[1-3]"
    values = dict(v="base|cross", s=few, l=few, n="[12]", u=number, i=number)
    groups = {name: f"(?P<{name}>{value})" for name, value in values.items()}
    return re.compile(template.replace(".", r"\.").format(**groups))


def _row(key: str, path_here: str, leaf: str, kind: str) -> tuple[str, str, Transform]:
    """PyTorch's name of an array, the path here, and how one becomes the other."""
    collection = "batch_stats" if leaf in _MOMENTS else "params"
    our_leaf, transform = KINDS[kind][leaf]
    path = f"{collection}/{path_here}/{our_leaf}".rstrip("/")
    return f"{key}.{leaf}".rstrip("."), path, transform


_ROWS = [
    _row(key, path_here, leaf, kind)
    for key, path_here, kind in MODULES
    for leaf in KINDS[kind]
]
_TO_HERE = [(_pattern(key), path_here, change) for key, path_here, change in _ROWS]
_TO_TORCH = [(_pattern(path_here), key, change) for key, path_here, change in _ROWS]
_DEAD = [_pattern(template) for template, _ in DEAD] + [re.compile(_STAGE4)]


def path_of(key: str) -> tuple[str, Transform]:
    """PyTorch key -> path here (`params/base/...`), "" if unknown, and transform."""
    return _translated(key, _TO_HERE)


def key_of(path: str) -> tuple[str, Transform]:
    """Path here -> PyTorch key, "" if it has no such array, and transform."""
    return _translated(path, _TO_TORCH)


def _translated(
    name: str, table: Iterable[tuple[re.Pattern[str], str, Transform]]
) -> tuple[str, Transform]:
    for pattern, template, transform in table:
        if match := pattern.fullmatch(name):
            return template.format(**match.groupdict()), transform
    return "", SAME


def is_dead(key: str) -> bool:
    """Whether a PyTorch key is of a module that is never used, or a counter."""
    module, _, leaf = key.rpartition(".")
    if leaf == _COUNTER:
        key = f"{module}.running_mean"
        return path_of(key)[0] != "" or is_dead(key)
    return any(pattern.fullmatch(key) for pattern in _DEAD)


def dead_arrays(model: QCS) -> dict[str, np.ndarray]:
    """Fresh values for the keys of `DEAD`: float32 zeros, and ones for variances."""
    depths = {"base": model.depth} | ({"cross": 1} if model.branches > 1 else {})
    blocks = [(v, i) for v, depth in depths.items() for i in range(depth)]
    arrays = {}
    for template, shape in DEAD:
        make = np.ones if template.endswith("running_var") else np.zeros
        for v, i in blocks:
            arrays[template.format(v=v, i=i)] = make(shape(model), np.float32)
    return arrays


def counters(keys: Iterable[str]) -> dict[str, np.ndarray]:
    """int64 zeros: how many batches each batch normalisation among `keys` has seen."""
    norms = [k.removesuffix("running_mean") for k in keys if k.endswith("running_mean")]
    return {f"{norm}{_COUNTER}": np.zeros((), np.int64) for norm in norms}
