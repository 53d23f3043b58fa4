"""What the networks take for pixels: RGB by the statistics of ImageNet, or its grey."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601: PIL's mode "L"


def grey(images: jax.Array) -> jax.Array:
    """Turns normalised images `[..., 3]` into their grey, in three equal levels."""
    shape = (1,) * (images.ndim - 1) + (3,)
    constants = (np.asarray(x, images.dtype) for x in (MEAN, STD, LUMA))
    mean, std, luma = (jnp.reshape(x, shape) for x in constants)
    level = jnp.sum(luma * (images * std + mean), axis=-1, keepdims=True)
    return (level - mean) / std
