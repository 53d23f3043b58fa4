"""dlib's face recognition network of 29 layers, as a feature pyramid (King, 2017).

The last two layers there, a further halving that images of less than 112 pixels do not
survive and the one that names a person, are left out.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from qcs_jax.models import convolution, layers
from qcs_jax.models.ir50 import Norm

STEM_UNITS = 3  # at the width of the stem, before the first level


class Unit(nn.Module):
    """Conv, BN, ReLU, conv, BN, plus the shortcut, ReLU.

    Where it goes `down`, the first convolution has stride 2 and no padding, and the
    shortcut is a mean over 2x2, with zeros as its further channels. Where the image has
    an even side, the convolution ends one pixel short of the mean, and zeros take the
    place of that pixel. Without `norm` the convolutions do its work.
    """

    features: int
    down: bool
    norm: Norm
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[m, h, w, c_in]` -> `[m, h, w, c]`, or half of both sides, rounded down."""
        width, c = x.shape[-1], self.features
        conv = functools.partial(
            convolution.conv, use_bias=not self.norm, dtype=self.dtype
        )
        norm = self.norm or (lambda name: lambda x: x)
        stride, padding = (2, 0) if self.down else (1, 1)
        h = conv(width, c, stride=stride, padding=padding, name="conv1")(x)
        h = nn.relu(norm(name="norm1")(h))
        h = norm(name="norm2")(conv(c, c, name="conv2")(h))
        if self.down:
            x = _halved(x)
            short = [(0, a - b) for a, b in zip(x.shape, h.shape, strict=True)]
            h = jnp.pad(h, [(0, 0), *short[1:3], (0, 0)])
            x = jnp.pad(x, [(0, 0)] * 3 + [(0, c - width)])
        return nn.relu(h + x)


def _halved(x: jax.Array) -> jax.Array:
    """Means over 2x2: `[m, h, w, c]` -> half of both sides, rounded down."""
    m, h, w, c = x.shape
    x = x[:, : h // 2 * 2, : w // 2 * 2].reshape(m, h // 2, 2, w // 2, 2, c)
    return jnp.sum(x, axis=(2, 4)) / 4  # a mean would need a newer ONNX


class ResNet29(nn.Module):
    """Stem, units at half the first width, and three stages that halve the image.

    With `remat`, see `IR50`.
    """

    norm: Norm
    widths: Sequence[int] = (64, 128, 256)
    units: Sequence[int] = (4, 3, 3)
    remat: bool = False
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        """`[m, s, s, 3]` -> `[m, t, t, widths[i]]` per stage; of 104, t is 12, 6, 3."""
        options = dict(use_bias=not self.norm, dtype=self.dtype, name="stem_conv")
        width, unit = self.widths[0] // 2, nn.remat(Unit) if self.remat else Unit
        stem = convolution.conv(3, width, 7, stride=2, padding=0, **options)
        x = stem(x.astype(self.dtype))
        x = nn.relu(self.norm(name="stem_norm")(x) if self.norm else x)
        x = nn.max_pool(x, window_shape=(3, 3), strides=(2, 2))
        make = functools.partial(unit, norm=self.norm, dtype=self.dtype)
        for i in range(STEM_UNITS):
            x = make(width, down=False, name=f"stem_unit{i}")(x)
        pyramid = []
        for stage, (width, count) in enumerate(
            zip(self.widths, self.units, strict=True), start=1
        ):
            for i in range(count):
                x = make(width, down=i == 0, name=f"stage{stage}_unit{i}")(x)
            pyramid.append(x)
        return pyramid
