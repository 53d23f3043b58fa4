"""Layers that two models share, with PyTorch's definitions and initial values."""

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

from qcs_jax.models.batch_layout import BatchLayout

Dtype = Any


def full(x: jax.Array) -> jax.Array:
    """`x` in the precision of norms, softmax, distances and logits: float32.

    (float64 where everything is, as a reference computation would have it.)
    """
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def torch_kernel_init(key: jax.Array, shape: Sequence[int], dtype: Dtype = jnp.float32):
    """PyTorch's default for conv and linear weights: U(-1, 1) / sqrt(fan_in)."""
    bound = math.prod(shape[:-1]) ** -0.5
    return jax.random.uniform(key, tuple(shape), dtype, -bound, bound)


def torch_bias_init(fan_in: int) -> nn.initializers.Initializer:
    """PyTorch's default for biases: U(-1, 1) / sqrt(fan_in of the weights)."""
    bound = fan_in**-0.5

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def conv(
    inputs: int,
    features: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    use_bias: bool = False,
    dtype: Dtype = jnp.float32,
    name: str | None = None,
) -> nn.Conv:
    """Square 2-D convolution, NHWC, padded by `kernel // 2` on every side."""
    return nn.Conv(
        features,
        (kernel, kernel),
        strides=stride,
        padding=kernel // 2,
        use_bias=use_bias,
        kernel_init=torch_kernel_init,
        bias_init=torch_bias_init(kernel**2 * inputs),
        dtype=dtype,
        name=name,
    )


def dense(
    inputs: int,
    features: int,
    *,
    kernel_init: nn.initializers.Initializer | None = None,
    use_bias: bool = True,
    dtype: Dtype = jnp.float32,
    name: str | None = None,
) -> nn.Dense:
    """Linear layer: zero bias beside a given `kernel_init`, else PyTorch's defaults."""
    return nn.Dense(
        features,
        use_bias=use_bias,
        kernel_init=kernel_init or torch_kernel_init,
        bias_init=nn.initializers.zeros if kernel_init else torch_bias_init(inputs),
        dtype=dtype,
        name=name,
    )


def layer_norm(epsilon: float, dtype: Dtype, name: str | None = None) -> nn.LayerNorm:
    """Layer normalisation over channels; its arithmetic is float32 for any `dtype`."""
    # The fast variance E[x^2] - E[x]^2 loses the digits that parity needs.
    return nn.LayerNorm(epsilon, dtype=dtype, use_fast_variance=False, name=name)


class PReLU(nn.Module):
    """`max(x, 0) + slope * min(x, 0)` with one learned slope per channel."""

    initial: float = 0.25

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = nn.initializers.constant(self.initial)
        slope = self.param("slope", init, (x.shape[-1],))
        return jnp.where(x >= 0, x, _like(slope.astype(x.dtype), x) * x)


class BatchNorm(nn.Module):
    """Batch normalisation with separate statistics for each branch.

    Equal to calling PyTorch's layer on branch 0, 1, ... in turn: each branch is
    normalised with its own (biased) batch variance, and the running averages advance
    once per branch, in that order, with the unbiased one. Statistics are those of the
    global batch on any number of devices.

    Attributes:
      layout: Branches and devices of the batch `[n * b, h, w, c]`.
      train: Use and record batch statistics; otherwise use the running averages.
      momentum: Weight of the new statistics in the running averages.
      epsilon: Added to the variance.
    """

    layout: BatchLayout
    train: bool
    momentum: float = 0.1
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        if not self.train:
            return _affine_norm(x, mean.value, var.value, scale, bias, self.epsilon)

        xs = self.layout.split(x)  # [n, b, h, w, c]
        batch_mean, batch_var = self._statistics(xs)  # [n, c], [n, c]
        if not self.is_initializing():
            count = xs[0, ..., 0].size * self.layout.device_count()
            unbiased = batch_var * (count / max(count - 1, 1))
            mean.value = self._advance(mean.value, batch_mean)
            var.value = self._advance(var.value, unbiased)
        per_branch = (slice(None), None, None, None)
        y = _affine_norm(
            xs, batch_mean[per_branch], batch_var[per_branch], scale, bias, self.epsilon
        )
        return self.layout.merge(y)

    def _statistics(self, xs: jax.Array) -> tuple[jax.Array, jax.Array]:
        # Two passes, so that the variance of nearly constant channels survives float32.
        xs = full(xs)
        mean = self.layout.mean(jnp.mean(xs, axis=(1, 2, 3)))
        centred = xs - mean[:, None, None, None]
        return mean, self.layout.mean(jnp.mean(centred**2, axis=(1, 2, 3)))

    def _advance(self, running: jax.Array, new: jax.Array) -> jax.Array:
        """`(1 - momentum) running + momentum new[i]`, for each branch i in turn."""
        n, keep = len(new), 1 - self.momentum
        weights = self.momentum * keep ** np.arange(n - 1, -1, -1)
        weighted = weights.astype(new.dtype)[:, None] * new
        advanced = keep**n * running + jnp.sum(weighted, axis=0)
        return lax.stop_gradient(advanced)


def _affine_norm(x, mean, var, scale, bias, epsilon) -> jax.Array:
    """Float32 inside, `x.dtype` outside."""
    factor = lax.rsqrt(var + epsilon) * _like(scale, var)
    y = (full(x) - _like(mean, x)) * _like(factor, x)
    return (y + _like(bias, x)).astype(x.dtype)


def _like(statistic: jax.Array, x: jax.Array) -> jax.Array:
    """Gives a `[c]` or `[n, 1, 1, 1, c]` statistic the rank of `x`, explicitly."""
    return lax.expand_dims(statistic, range(x.ndim - statistic.ndim))


class Dropout(nn.Module):
    """Dropout whose mask is a function of (key, example), not of the device count."""

    rate: float
    layout: BatchLayout
    train: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if not self.train or self.rate == 0.0:
            return x
        keys = self.layout.example_keys(self.make_rng("dropout"), x.shape[0])
        keep = jax.vmap(lambda k: jax.random.bernoulli(k, 1 - self.rate, x.shape[1:]))
        return jnp.where(keep(keys), x / (1 - self.rate), jnp.zeros_like(x))


class Mlp(nn.Module):
    """Linear, exact GELU, linear, each layer followed by `dropout`.

    Attributes:
      ratio: Hidden width over input width.
      dropout: Module applied after the GELU and after the second layer, or None.
      kernel_init: Passed on to `dense`.
    """

    ratio: int = 4
    dropout: nn.Module | None = None
    kernel_init: nn.initializers.Initializer | None = None
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width, hidden = x.shape[-1], self.ratio * x.shape[-1]
        linear = functools.partial(
            dense, kernel_init=self.kernel_init, dtype=self.dtype
        )
        drop = self.dropout or (lambda h: h)
        h = drop(nn.gelu(linear(width, hidden, name="fc1")(x), approximate=False))
        return drop(linear(hidden, width, name="fc2")(h))
