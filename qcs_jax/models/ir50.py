"""IR-50, stages 1 to 3: the ArcFace backbone as a feature pyramid."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from qcs_jax.models import convolution, layers

Norm = Callable[..., nn.Module]


class Unit(nn.Module):
    """BN, conv, PReLU, strided conv, BN, plus the shortcut.

    The shortcut is plain sub-sampling where the width stays, else a 1x1 conv and BN.
    """

    features: int
    stride: int  # of the second convolution and of the shortcut
    norm: Norm  # called with `name`
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[m, h, w, c_in]` -> `[m, h / stride, w / stride, c]`."""
        width, s = x.shape[-1], self.stride
        conv = functools.partial(convolution.conv, dtype=self.dtype)
        h = self.norm(name="norm1")(x)
        h = conv(width, self.features, name="conv1")(h)
        h = layers.PReLU(name="prelu")(h)
        h = conv(self.features, self.features, stride=s, name="conv2")(h)
        h = self.norm(name="norm2")(h)
        if width == self.features:
            return h + x[:, ::s, ::s]
        x = conv(width, self.features, 1, stride=s, name="shortcut_conv")(x)
        return h + self.norm(name="shortcut_norm")(x)


class IR50(nn.Module):
    """Stem and three stages of units; the first unit of a stage halves the image.

    The stem has the width of the first stage. With `remat`, the input of each unit
    alone is kept for the gradient, which computes the unit once more: less memory for
    more time.
    """

    norm: Norm
    widths: Sequence[int] = (64, 128, 256)
    units: Sequence[int] = (3, 4, 14)
    remat: bool = False
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        """`[m, s, s, 3]` -> one `[m, s / 2**i, s / 2**i, widths[i - 1]]` per stage."""
        x = layers.PReLU(name="stem_prelu")(self._stem(x.astype(self.dtype)))
        pyramid = []
        for stage, (width, count) in enumerate(
            zip(self.widths, self.units, strict=True), start=1
        ):
            for i in range(count):
                stride = 2 if i == 0 else 1
                x = self._unit(width, stride, name=f"stage{stage}_unit{i}")(x)
            pyramid.append(x)
        return pyramid

    def _stem(self, x: jax.Array) -> jax.Array:
        x = convolution.conv(3, self.widths[0], dtype=self.dtype, name="stem_conv")(x)
        return self.norm(name="stem_norm")(x)

    def _unit(self, features: int, stride: int, name: str) -> nn.Module:
        unit = nn.remat(Unit) if self.remat else Unit
        return unit(features, stride, self.norm, self.dtype, name=name)


class PyramidTokens(nn.Module):
    """Turns three feature maps into as many tokens each, of one width.

    Every level first passes a 3x3 convolution of stride 2. Level 1 is then embedded by
    two such convolutions, level 2 by one, level 3 by a 1x1 convolution, with nothing
    in between, so that all three end at the size of the smallest.
    """

    features: int = 768
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, pyramid: Sequence[jax.Array]) -> jax.Array:
        """`[m, h_i, w_i, c_i]` for three levels -> `[m, 3 * N, C]`, level by level."""
        tokens = []
        for level, x in enumerate(pyramid, start=1):
            x = self._conv(x, x.shape[-1], f"reduce{level}")
            for i in range(len(pyramid) - level):
                x = self._conv(x, self.features, f"embed{level}_{i}")
            if level == len(pyramid):
                x = self._conv(x, self.features, f"embed{level}_0", kernel=1, stride=1)
            tokens.append(x.reshape(x.shape[0], -1, self.features))  # [m, N, C]
        return jnp.concatenate(tokens, axis=1)

    def _conv(self, x, features, name, kernel=3, stride=2):
        options = dict(stride=stride, use_bias=True, dtype=self.dtype, name=name)
        return convolution.conv(x.shape[-1], features, kernel, **options)(x)
