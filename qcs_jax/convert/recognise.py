"""Which network a state_dict is of, and how large, from its keys and shapes."""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import re
from collections.abc import Mapping

import flax.traverse_util
import jax
import numpy as np

from qcs_jax import models
from qcs_jax.convert.reader.errors import shorten
from qcs_jax.models.torch_layout import Sizes
from qcs_jax.system.errors import UserError

BACKBONE = "backbone"  # beside the names of `models.BRANCHES`

# Network -> what it has, and none below it.
_SIGNS = {
    "qcs": r"cross_attention_[123]\.theta",
    "dcs": r"cross_attention_[123]\.|VIT_cross\.",
    "baseline": r"VIT_base\.",
    BACKBONE: r"ir_back\.",
}

# Name -> axes that tell a size. Where they disagree, most of them are right.
_VIT_NORMS = r"VIT_base\.(norm|blocks\.[0-9]+\.norm[12])\.(weight|bias)"
_HEADS = r"VIT_(base|cross)\.head\.linear\.(weight|bias)"
_UNIT = r"ir_back\.body{}\.([0-9]+)\."
_UNIT_NORMS = _UNIT + r"res_layer\.4\.(weight|bias|running_mean|running_var)"
_BLOCK = r"VIT_base\.blocks\.([0-9]+)\."
_POSITIONS = r"VIT_(base|cross)\.pos_embed"

_MOST = 64  # units or blocks; what a file claims beyond that is unknown to the network


def network_of(arrays: Mapping[str, np.ndarray]) -> str:
    """A name of `models.BRANCHES`, or `BACKBONE`; arrays have the published names.

    Raises:
      UserError: if they are of none of these.
    """
    for network, sign in _SIGNS.items():
        if any(re.match(sign, name) for name in arrays):
            return network
    found = ", ".join(map(shorten, list(arrays)[:5])) or "nothing"
    raise UserError(
        f"this state_dict is not of QCS, DCS, the baseline or their backbone: expected "
        f"names such as VIT_base.head.linear.weight or body1.0.res_layer.0.weight, "
        f"found {found}"
    )


def sizes_of(arrays: Mapping[str, np.ndarray]) -> Sizes:
    """The sizes that most arrays agree on; published ones where nothing tells."""
    published = Sizes()
    tokens = _agreed(arrays, _POSITIONS, axis=1, default=published.tokens + 1) - 1
    return Sizes(
        num_classes=_agreed(arrays, _HEADS, 0, published.num_classes),
        widths=tuple(
            _agreed(arrays, _UNIT_NORMS.format(s), 0, width)
            for s, width in enumerate(published.widths, start=1)
        ),
        units=tuple(_count(arrays, _UNIT.format(s)) for s in (1, 2, 3)),
        features=_agreed(arrays, _VIT_NORMS, 0, published.features),
        depth=_count(arrays, _BLOCK),
        side=math.isqrt(max(tokens // 3, 1)),
    )


def _agreed(
    arrays: Mapping[str, np.ndarray], pattern: str, axis: int, default: int
) -> int:
    """The commonest length of an axis, the larger of two as common."""
    lengths = collections.Counter(
        np.shape(array)[axis]
        for name, array in arrays.items()
        if re.fullmatch(pattern, name) and np.ndim(array) > axis and np.size(array)
    )
    return max(lengths, key=lambda n: (lengths[n], n), default=default)


def _count(arrays: Mapping[str, np.ndarray], pattern: str) -> int:
    """How many different numbers the pattern's group takes, from 1 to `_MOST`."""
    found = {match[1] for name in arrays if (match := re.match(pattern, name))}
    return min(max(len(found), 1), _MOST)


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
    """Path -> shape of all variables; the network itself is asked, none is computed."""
    options = dataclasses.asdict(sizes)
    image_size = 16 * options.pop("side")
    name = "baseline" if network == BACKBONE else network
    # Neither the number of heads nor how the image is sub-sampled shows in a shape.
    model = models.create(name, image_size=image_size, subsample=1, heads=1, **options)
    tree = jax.eval_shape(lambda: models.init(model, jax.random.key(0)))
    flat = flax.traverse_util.flatten_dict(tree, sep="/")
    part = "base/backbone/" if network == BACKBONE else ""
    return {path: x.shape for path, x in flat.items() if f"/{part}" in path}
