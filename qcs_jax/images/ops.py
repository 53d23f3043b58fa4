"""Batched image operations with explicit parameters, equal to torchvision's on PIL.

Every function takes `images [m, h, w, 3]` and one parameter per image, `[m]`, and is
traceable; shape and dtype of the result are those of the images, but for `crop` and
`warp`.
Nothing here is random: `qcs_jax.images.augment` draws the parameters.

Geometry (`flip`, `rotate`, `crop`, `erase`) moves pixels without mixing them, so it
keeps the dtype: run it on uint8, a quarter of the memory traffic of float32. `warp`
does mix them. Colour (`color_jitter`) works on float32 levels in [0, 255] and clips to
that range after each operation, but does not round to whole levels in between as PIL
does.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from qcs_jax.models import LUMA

# PIL stores the affine map of a rotation in 16.16 fixed point.
_FIXED = 16


def flip(images: jax.Array, flipped: jax.Array) -> jax.Array:
    """Mirrors left and right the images whose `flipped [m]` (bool) is set."""
    return jnp.where(_per_image(flipped), images[:, :, ::-1], images)


def rotate(images: jax.Array, degrees: jax.Array) -> jax.Array:
    """Rotates counter-clockwise about the centre; nearest pixel, corners filled with 0.

    The source position of each pixel is computed in the fixed-point arithmetic of
    PIL's `Image.rotate`, so that ties between two pixels fall on the same side.
    """
    m, h, w, _ = images.shape
    rows, columns = _rotated_grid(degrees, h, w)  # [m, h, w] each
    inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
    # One flat index per pixel; outside points past the end, where `fill` supplies 0.
    index = jnp.where(inside, rows * w + columns, h * w)
    pixels = images.reshape(m, h * w, 3)
    return jax.vmap(lambda p, i: p.at[i].get(mode="fill", fill_value=0))(pixels, index)


def crop(images: jax.Array, top: jax.Array, left: jax.Array, size: int) -> jax.Array:
    """Cuts the square `[m, size, size, 3]` whose corner (`top`, `left`) is int32."""

    def cut(image: jax.Array, row: jax.Array, column: jax.Array) -> jax.Array:
        start = (row, column, jnp.zeros_like(row))
        return jax.lax.dynamic_slice(image, start, (size, size, 3))

    return jax.vmap(cut)(images, top, left)


def warp(
    images: jax.Array,
    degrees: jax.Array,
    scale: jax.Array,
    shift: jax.Array,
    size: int,
) -> jax.Array:
    """Turns, enlarges, moves and crops, in one interpolation: float32 levels.

    The middle of the image is turned counter-clockwise by `degrees [m]`, enlarged by
    `scale [m]`, and then moved by `shift [m, 2]` pixels, down and right. The square
    around the middle of the place where it was is the result, `[m, size, size, 3]`.
    Bilinear; black outside.
    """
    h, w = images.shape[1:3]
    angle = jnp.deg2rad(degrees)
    cos, sin = jnp.cos(angle) / scale, jnp.sin(angle) / scale
    offset = jnp.arange(size, dtype=jnp.float32) + (0.5 - size / 2)

    def one(image, cos, sin, shift):
        y, x = jnp.meshgrid(offset - shift[0], offset - shift[1], indexing="ij")
        rows, columns = cos * y + sin * x, cos * x - sin * y
        at = [rows + (h / 2 - 0.5), columns + (w / 2 - 0.5)]
        channels = [
            jax.scipy.ndimage.map_coordinates(image[..., c], at, order=1)
            for c in range(3)
        ]
        return jnp.stack(channels, axis=-1)

    return jax.vmap(one)(jnp.asarray(images, jnp.float32), cos, sin, shift)


def erase(images: jax.Array, box: jax.Array) -> jax.Array:
    """Sets a rectangle of each image to 0.

    `box [m, 4]` is int32: top, left, height, width. Height 0 erases nothing.
    """
    _, h, w, _ = images.shape
    top, left, height, width = (side[:, None] for side in box.T)  # [m, 1] each
    row, column = jnp.arange(h)[None], jnp.arange(w)[None]
    rows = (row >= top) & (row < top + height)  # [m, h]
    columns = (column >= left) & (column < left + width)  # [m, w]
    inside = rows[:, :, None, None] & columns[:, None, :, None]
    return jnp.where(inside, jnp.zeros_like(images), images)


def color_jitter(
    images: jax.Array,
    order: jax.Array,
    amounts: jax.Array,
    operations: Sequence[str],
) -> jax.Array:
    """Applies colour operations to each image in that image's own order.

    Choosing among n operations at each of n places would evaluate n * n of them, since
    a batch takes every branch of a switch. But brightness, contrast and saturation are
    one formula, a blend with a target, so that a place costs one blend. And hue, the
    costly one, is evaluated once: places before it run ahead of it, places after it
    behind, and an image for which a place is on the other side blends with factor 1,
    exactly the identity.

    Args:
      images: `[m, h, w, 3]` float32 levels.
      order: `[m, n]` int32, a permutation per image: which operation comes when, as an
        index into `operations`.
      amounts: `[m, n]` float32, factor or shift of each of `operations`.
      operations: n different names out of "brightness" (factor 0 is black), "contrast"
        (0 is the image's mean luma), "saturation" (0 is gray), "hue" (shift in turns,
        in [-0.5, 0.5]). Factor 1 changes nothing.
    """
    n = len(operations)
    factors = jnp.take_along_axis(amounts, order, axis=1)

    def place(images: jax.Array, k: int, active: jax.Array | None) -> jax.Array:
        factor = factors[:, k]
        if active is not None:
            factor = jnp.where(active, factor, 1.0)
        factor = _per_image(factor)
        target = _target(images, order[:, k], operations)
        return jnp.clip(factor * images + (1.0 - factor) * target, 0.0, 255.0)

    if "hue" not in operations:
        for k in range(n):
            images = place(images, k, active=None)
        return images
    hue = operations.index("hue")
    when = jnp.argmax(order == hue, axis=1)  # [m]
    for k in range(n - 1):
        images = place(images, k, active=k < when)
    images = _adjust_hue(images, amounts[:, hue])
    for k in range(1, n):
        images = place(images, k, active=k > when)
    return images


def _target(
    images: jax.Array, operation: jax.Array, operations: Sequence[str]
) -> jax.Array:
    """What each image blends with, `[m, h, w, 1]`, for its `operation [m]`."""
    target = jnp.zeros_like(images[..., :1])
    if "contrast" not in operations and "saturation" not in operations:
        return target
    # Spelt out: a dot product may run in reduced precision on an accelerator.
    red, green, blue = (images[..., c] for c in range(3))
    luma = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)[..., None]
    if "contrast" in operations:
        chosen = _per_image(operation == operations.index("contrast"))
        mean = luma.mean(axis=(1, 2, 3), keepdims=True)
        target = jnp.where(chosen, jnp.floor(mean + 0.5), target)  # whole, as in PIL
    if "saturation" in operations:
        chosen = _per_image(operation == operations.index("saturation"))
        target = jnp.where(chosen, luma, target)
    return target


def _adjust_hue(images: jax.Array, shift: jax.Array) -> jax.Array:
    """Turns the hue by `shift [m]` turns, at constant HSV saturation and value.

    PIL's HSV keeps the hue as a byte, truncated; so does torchvision with the shift.
    One step of that byte is up to 6 levels of a channel, so it is part of the
    definition and reproduced here. The bytes of saturation and value are not: their
    effect is within a level.
    """
    # Three planes, stacked at the end: with a channel axis throughout, compilers fuse
    # everything into the last expression and compute each hue three times.
    red, green, blue = (images[..., c] for c in range(3))  # [m, h, w] each
    high = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = high - jnp.minimum(jnp.minimum(red, green), blue)
    byte = _hue_byte((red, green, blue), high, chroma)
    byte = (byte + jnp.trunc(shift * 255.0)[:, None, None]) % 256.0
    sixths = byte * (6.0 / 255.0)
    # Each channel is the same trapezoid over the hue wheel, a third of a turn apart.
    wheels = [jnp.where(w >= 6.0, w - 6.0, w) for w in (sixths + k for k in (5, 3, 1))]
    dips = [jnp.clip(jnp.minimum(w, 4.0 - w), 0.0, 1.0) for w in wheels]
    return jnp.stack([high - chroma * dip for dip in dips], axis=-1)


def _hue_byte(
    channels: Sequence[jax.Array], high: jax.Array, chroma: jax.Array
) -> jax.Array:
    """The hue as PIL stores it: whole numbers 0..255 in float32, `[m, h, w]`."""
    divisor = jnp.where(chroma > 0.0, chroma, 1.0)  # gray: hue 0
    # PIL's own formula: which way rounding sends a hue that is exactly a whole byte is
    # decided by these three quotients.
    red, green, blue = ((high - channel) / divisor for channel in channels)
    # The smallest belongs to the largest channel. Not `== 0`: a compiler may compute
    # `high` and the channel twice, rounded differently, and no channel would be equal.
    sixths = jnp.where(
        red <= jnp.minimum(green, blue),
        (blue - green) % 6.0,
        jnp.where(green <= blue, 2.0 + red - blue, 4.0 + green - red),
    )
    return jnp.floor(sixths * 42.5)


def _rotated_grid(degrees: jax.Array, h: int, w: int) -> tuple[jax.Array, jax.Array]:
    """Source row and column `[m, h, w]` of each pixel of an image rotated by `[m]`."""
    angle = jnp.deg2rad(degrees)[:, None, None]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    # From the first pixel's middle to the image's centre.
    y, x = 0.5 - h / 2, 0.5 - w / 2
    row = _to_fixed(sin * x + cos * y + h / 2)
    column = _to_fixed(cos * x - sin * y + w / 2)
    cos, sin, minus_sin = (_to_fixed(v) for v in (cos, sin, -sin))
    down, right = jnp.arange(h)[None, :, None], jnp.arange(w)[None, None, :]
    rows = (row + sin * right + cos * down) >> _FIXED
    columns = (column + cos * right + minus_sin * down) >> _FIXED
    return rows, columns


def _to_fixed(value: jax.Array) -> jax.Array:
    return jnp.floor(value * 2.0**_FIXED + 0.5).astype(jnp.int32)


def _per_image(value: jax.Array) -> jax.Array:
    """`[m]` -> `[m, 1, 1, 1]`, to meet images."""
    return value[:, None, None, None]
