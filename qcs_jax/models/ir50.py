"""IR-50, stages 1 to 3: the ArcFace backbone as a feature pyramid."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from qcs_jax.models import convolution, layers

Norm = Callable[..., Any] | None  # called with `name`; None: see `folded`


class Unit(nn.Module):
    """BN, conv, PReLU, strided conv, BN, plus the shortcut.

    The shortcut is plain sub-sampling where the width stays, else a 1x1 conv and BN.
    Without `norm` the convolutions do its work. The bias of one in the shortcut is part
    of that of the strided one.
    """

    features: int
    stride: int  # of the second convolution and of the shortcut
    norm: Norm
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[m, h, w, c_in]` -> `[m, h / stride, w / stride, c]`."""
        width, c, s = x.shape[-1], self.features, self.stride
        conv = functools.partial(convolution.conv, dtype=self.dtype)
        norm = self.norm or (lambda name: lambda x: x)
        h = conv(width, c, name="conv1")(norm(name="norm1")(x))
        h = h if self.norm else convolution.Shift(name="shift")(h)
        h = layers.PReLU(name="prelu")(h)
        h = conv(c, c, stride=s, use_bias=not self.norm, name="conv2")(h)
        h = norm(name="norm2")(h)
        if width == c:
            return h + x[:, ::s, ::s]
        x = conv(width, c, 1, stride=s, name="shortcut_conv")(x)
        return h + norm(name="shortcut_norm")(x)


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
        options = dict(use_bias=not self.norm, dtype=self.dtype, name="stem_conv")
        x = convolution.conv(3, self.widths[0], **options)(x.astype(self.dtype))
        x = self.norm(name="stem_norm")(x) if self.norm else x
        x = layers.PReLU(name="stem_prelu")(x)
        unit = nn.remat(Unit) if self.remat else Unit
        pyramid = []
        for stage, (width, count) in enumerate(
            zip(self.widths, self.units, strict=True), start=1
        ):
            for i in range(count):
                stride, name = 2 if i == 0 else 1, f"stage{stage}_unit{i}"
                x = unit(width, stride, self.norm, self.dtype, name=name)(x)
            pyramid.append(x)
        return pyramid


class PyramidTokens(nn.Module):
    """Turns three feature maps into as many tokens each, of one width.

    Every level first passes a 3x3 convolution of stride 2. Level 1 is then embedded by
    two such convolutions, level 2 by one, level 3 by a 1x1 convolution, with nothing
    in between, so that all three end at the size of the smallest. Without `reduce`,
    for levels that are small already, there is no first convolution.
    """

    features: int = 768
    reduce: bool = True
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, pyramid: Sequence[jax.Array]) -> jax.Array:
        """`[m, h_i, w_i, c_i]` for three levels -> `[m, 3 * N, C]`, level by level."""
        tokens = []
        for level, x in enumerate(pyramid, start=1):
            if self.reduce:
                x = self._conv(x, x.shape[-1], f"reduce{level}")
            for i in range(len(pyramid) - level):
                x = self._conv(x, self.features, f"embed{level}_{i}")
            if level == len(pyramid):
                x = self._conv(x, self.features, f"embed{level}_0", kernel=1, stride=1)
            tokens.append(x.reshape(x.shape[0], -1, self.features))  # [m, N, C]
        counts = [x.shape[1] for x in tokens]
        if len(set(counts)) > 1:
            raise ValueError(
                f"levels of {counts} tokens cannot be compared: give another "
                f"image_size, such as the one of models.SIZES"
            )
        return jnp.concatenate(tokens, axis=1)

    def _conv(self, x, features, name, kernel=3, stride=2):
        options = dict(stride=stride, use_bias=True, dtype=self.dtype, name=name)
        return convolution.conv(x.shape[-1], features, kernel, **options)(x)
