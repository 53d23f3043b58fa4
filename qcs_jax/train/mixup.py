"""Pairs of training images, mixed (Zhang et al., 2018)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from qcs_jax.models.batch_layout import BatchLayout


def mix(
    key: jax.Array,
    images: jax.Array,
    labels: jax.Array,
    *,
    layout: BatchLayout,
    alpha: float,
    classes: int,
) -> tuple[jax.Array, jax.Array]:
    """Mixes every example with another one of the global batch.

    All n images of an example are mixed with those of the same other example, in the
    same parts: what were two images of a class are two of the same mixture.

    Args:
      key: Of the step, the same on every device.
      images: `[n, b, s, s, 3]` on this device.
      labels: int32 `[n, b]`.
      layout: Of the batch.
      alpha: Parts are drawn from Beta(alpha, alpha); the larger is that of the example.
      classes: Number k of classes.

    Returns:
      Images, and the probabilities of their classes, `[n, b, k]`.
    """
    own = layout.positions(labels.shape[1])  # [b]
    count = labels.shape[1] * layout.device_count()
    order_key, part_key = jax.random.split(key)
    others = jax.random.permutation(order_key, jnp.arange(count, dtype=jnp.int32))[own]
    drawn = jax.random.beta(part_key, alpha, alpha, (count,), jnp.float32)
    part = jnp.maximum(drawn, 1.0 - drawn)[own]

    def mixed(x: jax.Array) -> jax.Array:
        share = lax.expand_dims(part, (0, *range(2, x.ndim)))  # [1, b, 1, ...]
        return share * x + (1.0 - share) * layout.everywhere(x)[:, others]

    return mixed(images), mixed(jax.nn.one_hot(labels, classes, dtype=jnp.float32))
