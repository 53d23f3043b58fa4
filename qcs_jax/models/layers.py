"""Layers that two models share, with PyTorch's definitions and initial values."""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from qcs_jax.models import LUMA, MEAN, STD
from qcs_jax.models.batch_layout import BatchLayout
from qcs_jax.models.convolution import Dtype, torch_bias_init, torch_kernel_init


def full(x: jax.Array) -> jax.Array:
    """`x` as norms, softmax, distances and logits have it: float32, or its float64."""
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def grey(images: jax.Array) -> jax.Array:
    """Turns normalised images `[..., 3]` into their grey, in three equal levels."""
    shape = (1,) * (images.ndim - 1) + (3,)
    constants = (np.asarray(x, images.dtype) for x in (MEAN, STD, LUMA))
    mean, std, luma = (jnp.reshape(x, shape) for x in constants)
    level = jnp.sum(luma * (images * std + mean), axis=-1, keepdims=True)
    return (level - mean) / std


def dense(
    inputs: int,
    features: int,
    *,
    kernel_init: nn.initializers.Initializer | None = None,
    dtype: Dtype = jnp.float32,
    name: str | None = None,
) -> nn.Dense:
    """Linear layer: zero bias beside a given `kernel_init`, else PyTorch's defaults."""
    return nn.Dense(
        features,
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

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = nn.initializers.constant(0.25)
        slope = self.param("slope", init, (x.shape[-1],))
        return _prelu(x, slope.astype(x.dtype))


@jax.custom_vjp
def _prelu(x: jax.Array, slope: jax.Array) -> jax.Array:
    return jnp.where(x >= 0, x, _like(slope, x) * x)


def _prelu_backward(saved, dy):
    x, slope = saved
    dslope = channel_sums(full(jnp.where(x >= 0, 0, x * dy))[None])[0]
    dx = jnp.where(x >= 0, dy, _like(slope, x) * dy)
    return dx, dslope.astype(slope.dtype)


_prelu.defvjp(lambda x, slope: (_prelu(x, slope), (x, slope)), _prelu_backward)


EPSILON = 1e-5  # added to the variances of batch normalisation
_MOMENTUM = 0.1  # weight of new statistics in the running averages


class BatchNorm(nn.Module):
    """Batch normalisation with separate statistics for each branch.

    Equal to calling PyTorch's layer on branch 0, 1, ... in turn: each branch is
    normalised with its own (biased) batch variance, and the running averages advance
    once per branch, in that order, with the unbiased one. Statistics are those of the
    global batch `[n * b, h, w, c]` on any number of devices.
    """

    layout: BatchLayout
    train: bool  # by statistics of the batch, recording them; else by the averages

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        if not self.train:
            return _affine_norm(x, mean.value, var.value, scale, bias)

        xs = self.layout.split(x)  # [n, b, h, w, c]
        y, batch_mean, batch_var = _normalize(self.layout, xs, scale, bias)
        if not self.is_initializing():
            count = xs[0, ..., 0].size * self.layout.device_count()
            unbiased = batch_var * (count / max(count - 1, 1))
            mean.value = _advance(mean.value, batch_mean)
            var.value = _advance(var.value, unbiased)
        return self.layout.merge(y)


def _advance(running: jax.Array, new: jax.Array) -> jax.Array:
    """`0.9 running + 0.1 new[i]`, for each branch i in turn."""
    n, keep = len(new), 1 - _MOMENTUM
    weights = _MOMENTUM * keep ** np.arange(n - 1, -1, -1)
    weighted = weights.astype(new.dtype)[:, None] * new
    advanced = keep**n * running + jnp.sum(weighted, axis=0)
    return lax.stop_gradient(advanced)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _normalize(layout: BatchLayout, xs: jax.Array, scale: jax.Array, bias: jax.Array):
    """`xs [n, b, h, w, c]` by the statistics of the global batch, and these, `[n, c]`.

    The gradient is written out: it needs two sums where the one that JAX derives needs
    four, and keeps nothing but the input. None passes through the statistics returned.
    """
    return _normalize_forward(layout, xs, scale, bias)[0]


def _normalize_forward(layout, xs, scale, bias):
    # Two passes, so that the variance of nearly constant channels survives float32.
    mean = _branch_mean(layout, full(xs))
    var = _branch_mean(layout, (full(xs) - _per_branch(mean)) ** 2)
    y = _affine_norm(xs, _per_branch(mean), _per_branch(var), scale, bias)
    return (y, mean, var), (xs, mean, var, scale)


def _normalize_backward(layout, saved, cotangents):
    xs, mean, var, scale = saved
    dy, inverse = full(cotangents[0]), lax.rsqrt(var + EPSILON)
    centred = full(xs) - _per_branch(mean)
    # Sums over the images of this device, [n, c]; the caller averages over devices
    # what belongs to parameters, while that of the input is the global batch's.
    count = xs[0, ..., 0].size
    dbias, product = channel_sums(dy), channel_sums(dy * centred)
    slope = layout.mean(product) * inverse**2 / count
    dx = dy - _per_branch(layout.mean(dbias) / count) - centred * _per_branch(slope)
    dx = dx * _per_branch(inverse * _like(scale, inverse))
    dscale = jnp.sum(product * inverse, axis=0)
    return dx.astype(xs.dtype), dscale, jnp.sum(dbias, axis=0)


_normalize.defvjp(_normalize_forward, _normalize_backward)


def _branch_mean(layout: BatchLayout, xs: jax.Array) -> jax.Array:
    """Mean over the global batch: `[n, b, h, w, c]` -> `[n, c]`."""
    return layout.mean(channel_sums(xs) / xs[0, ..., 0].size)


def channel_sums(xs: jax.Array) -> jax.Array:
    """Sums over images and positions: `[n, b, h, w, c]` -> `[n, c]`.

    Row by row first, with a barrier behind: XLA computes one sum over everything on a
    single core of a CPU, and would join the two.
    """
    rows = lax.optimization_barrier(jnp.sum(xs, axis=3))
    return jnp.sum(rows, axis=(1, 2))


def _per_branch(statistic: jax.Array) -> jax.Array:
    """`[n, c]` -> `[n, 1, 1, 1, c]`."""
    return lax.expand_dims(statistic, (1, 2, 3))


def _affine_norm(x, mean, var, scale, bias) -> jax.Array:
    """Float32 inside, `x.dtype` outside."""
    factor = lax.rsqrt(var + EPSILON) * _like(scale, var)
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
    """Linear to four times the width, exact GELU, linear; `dropout` follows each."""

    dropout: nn.Module | None = None
    kernel_init: nn.initializers.Initializer | None = None
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width, hidden = x.shape[-1], 4 * x.shape[-1]
        linear = functools.partial(
            dense, kernel_init=self.kernel_init, dtype=self.dtype
        )
        drop = self.dropout or (lambda h: h)
        h = drop(nn.gelu(linear(width, hidden, name="fc1")(x), approximate=False))
        return drop(linear(hidden, width, name="fc2")(h))
