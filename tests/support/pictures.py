"""Random pictures and keys, and when two pictures are the same."""

import jax
import jax.numpy as jnp
import numpy as np

COLORS = ("brightness", "contrast", "saturation", "hue")


def random_images(m, h=24, w=24):
    return jnp.asarray(
        np.random.default_rng(0).integers(0, 256, (m, h, w, 3), dtype=np.uint8)
    )


def random_keys(m, seed=0):
    return jax.random.split(jax.random.key(seed), m)


def floats(*values):
    return jnp.asarray(values, jnp.float32)


def ints(*values):
    return jnp.asarray(values, jnp.int32)


def assert_same_picture(result, expected, unit):
    """Equal, but for the odd hue that rounding moved to the next byte (6 levels)."""
    difference = np.abs(np.asarray(result) - np.asarray(expected)) / unit
    assert difference.max() < 10
    assert (difference > 0.01).mean() < 0.01
