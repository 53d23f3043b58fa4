"""The networks of the paper, by name.

model = models.create("qcs", num_classes=7)
variables = models.init(model, jax.random.key(0))
logits = model.apply(variables, images)                              # [b, 7]
base, cross = model.apply(variables, branches, method="interact")    # [4, b, 7] each

The tables can be read without JAX; the functions start it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jax

    from qcs_jax.models.qcs import QCS

# What images are normalised by, of ImageNet; and how much of grey each colour is, as in
# PIL's mode "L" (ITU-R 601).
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)

# Images that are compared at a time.
BRANCHES = {"baseline": 1, "dcs": 2, "qcs": 4}

_SHALLOW = dict(subsample=1, depth=1, heads=4)

# The published size, one whose backbone anybody can get trained on faces, one for faces
# of 48 to 64 pixels, and one that trains from scratch on two CPU cores in minutes.
SIZES: dict[str, dict[str, Any]] = {
    "full": dict(image_size=224),
    "medium": dict(
        **_SHALLOW,
        image_size=104,
        backbone="resnet29",
        units=(4, 3, 3),
        features=128,
        init_std=0.05,
    ),
    "small": dict(
        **_SHALLOW,
        image_size=44,
        widths=(32, 64, 128),
        units=(1, 2, 3),
        features=128,
        init_std=0.05,
    ),
    "tiny": dict(
        **_SHALLOW,
        image_size=48,
        widths=(16, 32, 64),
        units=(1, 1, 2),
        features=96,
        init_std=0.1,
    ),
}


def create(name: str, size: str = "full", **options: Any) -> QCS:
    """Makes one of the networks `BRANCHES`, of one of `SIZES`.

    Options are fields of `QCS` that override those of the size. A name or size that
    does not exist is a ValueError.
    """
    from qcs_jax.models.qcs import QCS

    if name not in BRANCHES:
        raise ValueError(f"no network {name!r}: choose from {', '.join(BRANCHES)}")
    if size not in SIZES:
        raise ValueError(f"no size {size!r}: choose from {', '.join(SIZES)}")
    return QCS(**{"branches": BRANCHES[name], **SIZES[size], **options})


def is_published(size: str) -> bool:
    """Whether the published PyTorch code has the kind of backbone that a size has."""
    return "backbone" not in SIZES[size]


def init(model: QCS, key: jax.Array) -> dict:
    """Fresh variables: `{"params": ..., "batch_stats": ...}`, float32."""
    # Outside of a mapped axis the batch is that of one device.
    return _initializer(model.clone(axis_name=None))(key)


@functools.cache
def _initializer(model: QCS) -> Callable[[jax.Array], dict]:
    """Traced once for all that initialise a network, or ask for its shapes."""
    import jax
    import jax.numpy as jnp

    shape = model.branches, 1, model.image_size, model.image_size, 3
    return jax.jit(lambda key: model.init(key, jnp.zeros(shape), method="interact"))


def count(variables: dict) -> int:
    """Number of parameters; running statistics do not count."""
    import jax

    return sum(x.size for x in jax.tree.leaves(variables["params"]))
