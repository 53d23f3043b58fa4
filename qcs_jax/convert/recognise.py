"""Which network a state_dict is of, and how large, from its keys and shapes.

The spellings of published files are read as the one that the table of names,
`models.torch_layout`, knows.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import re
from collections.abc import Mapping

import flax.traverse_util
import jax
import numpy as np

from qcs_jax import models
from qcs_jax.convert.reader import shorten
from qcs_jax.models.torch_layout import Sizes
from qcs_jax.system.errors import UserError

BACKBONE = "backbone"  # beside the names of `models.BRANCHES`

_PARALLEL = "module."  # before every name of a data-parallel model
_PREFIX = "ir_back."  # which files of the backbone alone leave out
_BACKBONE_PARTS = re.compile(r"(input_layer|output_layer|body[0-9]?)\.")
_EMBED = re.compile(r"embed_([123])\.")
_FLAT = re.compile(r"ir_back\.body\.([0-9]{1,4})\.(.*)")

# Network -> what it has, and none below it.
_SIGNS = {
    "qcs": r"cross_attention_[123]\.theta",
    "dcs": r"cross_attention_[123]\.|VIT_cross\.",
    "baseline": r"VIT_base\.",
    BACKBONE: r"ir_back\.",
}

_MOST = 64  # units or blocks; what a file claims beyond that is unknown to the network


def published_names(
    state_dict: Mapping[str, np.ndarray],
) -> tuple[dict[str, str], list[str]]:
    """Published names -> the file's keys; and keys that mean what another one does."""
    renamed = {}
    for key in state_dict:
        name = key.removeprefix(_PARALLEL)
        if _BACKBONE_PARTS.match(name):
            name = _PREFIX + name
        name = _EMBED.sub(lambda m: f"embed_{'qkv'[int(m[1]) - 1]}.", name, count=1)
        renamed[key] = name
    stages = _stages({name: np.shape(state_dict[key]) for key, name in renamed.items()})
    keys: dict[str, str] = {}
    twice = []
    for key, name in renamed.items():
        if flat := _FLAT.fullmatch(name):
            stage, unit = stages[int(flat[1])]
            name = f"{_PREFIX}body{stage}.{unit}.{flat[2]}"
        if keys.setdefault(name, key) != key:
            twice.append(key)
    return keys, twice


def _stages(shapes: Mapping[str, tuple[int, ...]]) -> dict[int, tuple[int, int]]:
    """Number of a unit in a flat body -> stage and unit: a new width, a new stage."""
    widths: dict[int, int] = {}
    for name, shape in shapes.items():
        if flat := _FLAT.fullmatch(name):
            unit, is_wide = int(flat[1]), flat[2] == "res_layer.3.weight" and shape
            widths[unit] = shape[0] if is_wide else widths.get(unit, 0)
    stages: dict[int, tuple[int, int]] = {}
    runs = itertools.groupby(sorted(widths), key=widths.__getitem__)
    for stage, (_, run) in enumerate(runs, start=1):
        numbers = list(run)  # one may be missing
        stages |= {n: (stage, n - numbers[0]) for n in numbers}
    return stages


def network_of(arrays: Mapping[str, np.ndarray]) -> str:
    """A name of `models.BRANCHES`, or `BACKBONE`; UserError if it is none of these."""
    for network, sign in _SIGNS.items():
        if any(re.match(sign, name) for name in arrays):
            return network
    names = ", ".join(map(shorten, list(arrays)[:5])) or "nothing"
    raise UserError(
        f"this state_dict is not of QCS, DCS, the baseline or their backbone: expected "
        f"names such as VIT_base.head.linear.weight or body1.0.res_layer.0.weight, "
        f"found {names}"
    )


def sizes_of(arrays: Mapping[str, np.ndarray]) -> Sizes:
    """The sizes that one array each tells; published ones where it is missing."""

    def length(name: str, axis: int, default: int) -> int:
        shape = np.shape(arrays.get(name, ()))
        return shape[axis] if len(shape) > axis and 0 not in shape else default

    def count(pattern: str) -> int:
        """How many different numbers the pattern's group takes, from 1 to `_MOST`."""
        numbers = {match[1] for name in arrays if (match := re.match(pattern, name))}
        return min(max(len(numbers), 1), _MOST)

    published = Sizes()
    tokens = length("VIT_base.pos_embed", 1, published.tokens + 1) - 1
    return Sizes(
        num_classes=length("VIT_base.head.linear.bias", 0, published.num_classes),
        widths=tuple(
            length(f"ir_back.body{stage}.0.res_layer.4.weight", 0, width)
            for stage, width in enumerate(published.widths, start=1)
        ),
        units=tuple(count(rf"ir_back\.body{s}\.([0-9]+)\.") for s in (1, 2, 3)),
        features=length("VIT_base.norm.bias", 0, published.features),
        depth=count(r"VIT_base\.blocks\.([0-9]+)\."),
        side=math.isqrt(max(tokens // 3, 1)),
    )


def size_name(sizes: Sizes) -> str:
    """The name in `models.SIZES` of a network of these sizes, "" if it has none."""
    for name in models.SIZES:
        model = models.create("qcs", name)
        fields = ("widths", "units", "features", "depth")
        named = {field: getattr(model, field) for field in fields}
        # Four strides of two lie between the backbone's image and the tokens.
        named["side"] = math.ceil(model.image_size / model.subsample / 16)
        if sizes == dataclasses.replace(sizes, **named):
            return name
    return ""


@functools.lru_cache(maxsize=8)
def shapes(network: str, sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Path -> shape of all variables; of the network itself, without computing one."""
    options = dataclasses.asdict(sizes)
    image_size = 16 * options.pop("side")
    name = "baseline" if network == BACKBONE else network
    # Neither the number of heads nor how the image is sub-sampled shows in a shape.
    model = models.create(name, image_size=image_size, subsample=1, heads=1, **options)
    tree = jax.eval_shape(lambda: models.init(model, jax.random.key(0)))
    flat = flax.traverse_util.flatten_dict(tree, sep="/")
    part = "base/backbone/" if network == BACKBONE else ""
    return {path: x.shape for path, x in flat.items() if f"/{part}" in path}
