"""Images as cameras often give them, drawn at random and made on the device.

An image is made worse in one way: far away, blurred, in other or little light, noisy,
or compressed. Each way has a number, at one value of which it changes nothing, so that
all images pass the same program. `corruptions` makes images worse for evaluation, by
other code and in more ways.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

# The ways, and the numbers of each are drawn from; lengths are parts of the side.
FAR, BLUR, GAMMA, DARK, NOISE, JPEG = range(6)
_SIDES = (0.1, 0.5)
_SIGMAS = (0.005, 0.06)  # of each axis
_GAMMAS = (0.4, 2.5)
_LIGHTS = (0.05, 0.7)
_DEVIATIONS = (6.0, 64.0)  # levels
_QUALITIES = (5.0, 40.0)

# Steps of JPEG's luma at quality 50, ITU-T T.81, table K.1.
_STEPS = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
)
_DCT = np.cos(np.outer(np.arange(8), 2 * np.arange(8) + 1) * math.pi / 16) / 2
_DCT[0] /= math.sqrt(2)


class Harm(NamedTuple):
    """What happens to one image, each float32; the defaults change nothing."""

    side: ArrayLike = 1.0  # that is left, a part
    sigmas: Any = (0.0, 0.0)  # down and across, parts
    gamma: ArrayLike = 1.0
    light: ArrayLike = 1.0  # with the noise of so few photons, if below 1
    deviation: ArrayLike = 0.0  # of noise, in levels
    quality: ArrayLike = 100.0  # of JPEG; 100 is not compressed


def draw(key: jax.Array, probability: float) -> Harm:
    """Draws one way for an image, or none."""
    kind_key, use_key, *keys = jax.random.split(key, 8)
    kind = jax.random.randint(kind_key, (), 0, 6, jnp.int32)
    kind = jnp.where(jax.random.bernoulli(use_key, probability), kind, -1)

    def number(way: int, bounds: tuple[float, float], shape: tuple = ()) -> jax.Array:
        low, high = np.log(np.array(bounds, np.float32))
        drawn = jax.random.uniform(keys[way], shape, jnp.float32, low, high)
        nothing = jnp.float32(getattr(Harm(), Harm._fields[way]))
        return jnp.where(kind == way, jnp.exp(drawn), nothing)

    return Harm(
        side=number(FAR, _SIDES),
        sigmas=number(BLUR, _SIGMAS, (2,)),
        gamma=number(GAMMA, _GAMMAS),
        light=number(DARK, _LIGHTS),
        deviation=number(NOISE, _DEVIATIONS),
        quality=number(JPEG, _QUALITIES),
    )


def harm(key: jax.Array, image: jax.Array, how: Harm) -> jax.Array:
    """Makes one image worse: float32 levels `[s, s, 3]`, in and out, 0 to 255."""
    s = len(image)
    numbers = (jnp.asarray(x, jnp.float32) for x in how)
    side, sigmas, gamma, light, deviation, quality = numbers
    far = _far(side, s)
    down, across = (_blurred(sigma, s) @ far for sigma in sigmas)
    x = jnp.einsum("ir,rcd,jc->ijd", down, image, across)
    x = 255.0 * (jnp.clip(x, 0.0, 255.0) / 255.0) ** gamma
    photons, grain = jax.random.normal(key, (2, *x.shape), jnp.float32)
    x = light * x
    x = x + jnp.where(light < 1.0, jnp.sqrt(x), 0.0) * photons
    x = jnp.clip(x + deviation * grain, 0.0, 255.0)
    return jnp.where(quality < 100.0, _compressed(x, quality), x)


def _far(side: jax.Array, s: int) -> jax.Array:
    """Matrix `[s, s]`: bilinear to `side * s` pixels, and back, as Pillow does it."""
    n = jnp.maximum(jnp.round(side * s), 1.0)
    i = jnp.arange(s, dtype=jnp.float32)
    small, large = i[:, None], i[None, :]
    # A small pixel is a weighted mean of those around its middle, within its own size.
    away = (large + 0.5) * n / s - (small + 0.5)
    reduce = jnp.where(small < n, jnp.maximum(1.0 - jnp.abs(away), 0.0), 0.0)
    reduce = reduce / jnp.maximum(jnp.sum(reduce, axis=1, keepdims=True), 1e-6)
    at = jnp.clip((small + 0.5) * n / s - 0.5, 0.0, n - 1.0)  # of a large pixel
    return jnp.maximum(1.0 - jnp.abs(at - large), 0.0) @ reduce


def _blurred(sigma: jax.Array, s: int) -> jax.Array:
    """Matrix `[s, s]`: normal means of deviation `sigma * s`, of what is inside."""
    i = jnp.arange(s, dtype=jnp.float32)
    away = (i[:, None] - i[None, :]) / jnp.maximum(sigma * s, 1e-2)
    weights = jnp.exp(-0.5 * away**2)
    return weights / jnp.sum(weights, axis=1, keepdims=True)


def _compressed(x: jax.Array, quality: jax.Array) -> jax.Array:
    """Each colour as JPEG keeps luma: cosines of 8x8 pixels, in whole steps."""
    s = len(x)
    more = -s % 8
    padded = jnp.pad(x, ((0, more), (0, more), (0, 0)), mode="edge") - 128.0
    n = len(padded) // 8
    scale = jnp.where(quality < 50.0, 5000.0 / quality, 200.0 - 2.0 * quality)
    steps = jnp.clip(jnp.floor((_STEPS * scale + 50.0) / 100.0), 1.0, 255.0)
    steps = steps[None, :, None, :, None]
    dct = _DCT.astype(np.float32)
    blocks = padded.reshape(n, 8, n, 8, 3)
    cosines = jnp.einsum("ui,aibjc,vj->aubvc", dct, blocks, dct)
    cosines = jnp.round(cosines / steps) * steps
    blocks = jnp.einsum("ui,aubvc,vj->aibjc", dct, cosines, dct)
    return jnp.clip(blocks.reshape(8 * n, 8 * n, 3)[:s, :s] + 128.0, 0.0, 255.0)
