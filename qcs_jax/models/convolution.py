"""Square convolutions, with a fast gradient where the stride is two."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Dtype = Any
_LAYOUT = ("NHWC", "HWIO", "NHWC")


def torch_kernel_init(key: jax.Array, shape: Sequence[int], dtype: Dtype = jnp.float32):
    """PyTorch's default for conv and linear weights: U(-1, 1) / sqrt(fan_in)."""
    bound = math.prod(shape[:-1]) ** -0.5
    return jax.random.uniform(key, tuple(shape), dtype, -bound, bound)


def torch_bias_init(fan_in: int) -> nn.initializers.Initializer:
    """PyTorch's default for biases: U(-1, 1) / sqrt(fan_in of the weights)."""
    bound = fan_in**-0.5
    return lambda key, shape, dtype=jnp.float32: jax.random.uniform(
        key, shape, dtype, -bound, bound
    )


def conv(
    inputs: int,
    features: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    padding: int | None = None,
    use_bias: bool = False,
    dtype: Dtype = jnp.float32,
    name: str | None = None,
) -> nn.Conv:
    """Square 2-D convolution, NHWC, padded on every side, by default `kernel // 2`."""
    same = kernel // 2
    halving = (kernel, stride, padding) == (3, 2, None)
    return nn.Conv(
        features,
        (kernel, kernel),
        strides=stride,
        padding=same if padding is None else padding,
        use_bias=use_bias,
        kernel_init=torch_kernel_init,
        bias_init=torch_bias_init(kernel**2 * inputs),
        dtype=dtype,
        conv_general_dilated=_halving if halving else None,
        name=name,
    )


def _halving(x, kernel, strides, padding, **options):
    """A 3x3 convolution of stride 2; one of odd images is JAX's own."""
    if x.shape[1] % 2 or x.shape[2] % 2:
        return lax.conv_general_dilated(x, kernel, strides, padding, **options)
    return halve(x, kernel)


@jax.custom_vjp
def halve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`[m, 2h, 2w, c]` and `[3, 3, c, d]` -> `[m, h, w, d]`: stride 2, padding 1."""
    return _convolve(x, kernel, 2, ((1, 1), (1, 1)))


def _backward(saved, dy):
    x, kernel = saved
    _, derived = jax.vjp(lambda x, k: _convolve(x, k, 2, ((1, 1), (1, 1))), x, kernel)
    dx = lax.platform_dependent(
        dy, kernel, cpu=_double, default=lambda dy, kernel: derived(dy)[0]
    )
    return dx, derived(dy)[1]


halve.defvjp(lambda x, kernel: (halve(x, kernel), (x, kernel)), _backward)


def _double(dy: jax.Array, kernel: jax.Array) -> jax.Array:
    """The gradient of `halve` by its input, `[m, h, w, d]` -> `[m, 2h, 2w, c]`.

    Textbooks put zeros between the elements of `dy` and convolve, and so does XLA on
    CPUs: three of four products are with zero. But rows (columns) 2i of the input met
    the middle of the kernel alone, rows 2i + 1 the last tap at output i and the first
    at i + 1: four small convolutions, for even and odd rows and columns.
    """
    even, odd = slice(1, 2), slice(None, None, -2)  # tap 1; taps 2 and 0
    transposed = kernel.swapaxes(2, 3)
    rows = []
    for i in (even, odd):
        columns = []
        for j in (even, odd):
            taps = transposed[i, j]
            padding = tuple((0, n - 1) for n in taps.shape[:2])
            columns.append(_convolve(dy, taps, 1, padding))
        rows.append(jnp.stack(columns, axis=3))  # [m, h, w, 2, c]
    m, h, w, _ = dy.shape
    return jnp.stack(rows, axis=2).reshape(m, 2 * h, 2 * w, -1)


def _convolve(x, kernel, stride, padding):
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding,
        dimension_numbers=_LAYOUT,
        feature_group_count=1,
    )


class Shift(nn.Module):
    """Adds what a zero-padded 3x3 convolution makes of an image of one colour.

    That is the sum of what each tap of the kernel makes of it, `taps [3, 3, c]`, over
    the taps that are inside of the image.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[m, h, w, c]` -> `[m, h, w, c]`."""
        taps = self.param("taps", nn.initializers.zeros, (3, 3, x.shape[-1]))
        return x + _shift(taps, *x.shape[1:3])[None].astype(x.dtype)


@functools.partial(jax.jit, static_argnums=(1, 2))  # traced once for all units alike
def _shift(taps: jax.Array, h: int, w: int) -> jax.Array:
    """`[3, 3, c]` -> `[h, w, c]`."""
    rows, columns = (_inside(side).astype(taps.dtype) for side in (h, w))
    # Sums, not products of matrices: they become a part of the loop that adds the
    # shift, where a map in memory would take more of it and more time.
    across = [columns[v, None, :, None] * taps[:, v, None] for v in range(3)]
    along = across[0] + across[1] + across[2]  # [3, w, c]
    down = [rows[u, :, None, None] * along[u][None] for u in range(3)]
    return down[0] + down[1] + down[2]


def _inside(side: int) -> np.ndarray:
    """Whether tap u of a kernel of 3 at position i is inside: bool `[3, side]`."""
    position = np.arange(-1, 2)[:, None] + np.arange(side)
    return (position >= 0) & (position < side)
