"""From decoded images to what the network reads: normalised float32, on the device.

`augment` is the training side, `preprocess` the deterministic one of evaluation and
inference. Both are pure and traceable, made to be called inside a jitted step: the host
only decodes and resizes, and uint8 travels to the device.

The distributions are torchvision's. What happens to an image depends on its own key
only, never on its place in the batch, so that a run does not change with the number of
devices.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qcs_jax.images import ops, photograph
from qcs_jax.models import MEAN, STD

# Random erasing: height over width, log-uniform, and how often to look for a rectangle
# that fits.
_ERASE_RATIO = (0.3, 3.3)
_ERASE_TRIES = 10

# Each stage has its own stream of random numbers: switching one off leaves the draws of
# the others as they were.
_FLIP, _ROTATION, _CROP, _JITTER, _ERASE, _HARM, _GRAIN, _MOVE = range(8)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What is drawn at random for each image; defaults draw nothing.

    Hashable, so it can be a static argument of `jax.jit`.
    """

    size: int  # side of the square that the network sees, in pixels
    flip: float = 0.0  # probability of a horizontal flip
    rotation: float = 0.0  # largest angle in degrees; uniform in +-
    # Largest change of size: log-uniform from 1 / (1 + x) to 1 + x.
    scale: float = 0.0
    shift: float = 0.0  # largest move in either direction, a part of the side
    brightness: float = 0.0  # largest change of the factor; uniform in 1 +-, >= 0
    contrast: float = 0.0  # likewise
    saturation: float = 0.0  # likewise
    hue: float = 0.0  # largest shift in turns, at most 0.5; uniform in +-
    photograph: float = 0.0  # probability of one of the ways of `photograph`
    erase: float = 0.0  # probability of erasing a rectangle
    # Smallest and largest area of that rectangle, as a part of the cropped image.
    erase_area: tuple[float, float] = (0.02, 0.1)

    def __post_init__(self) -> None:
        # A tuple whatever came (a config may hold a list), to stay hashable.
        object.__setattr__(self, "erase_area", tuple(self.erase_area))


def augment(
    keys: jax.Array, images: jax.Array, augmentation: Augmentation
) -> jax.Array:
    """Flip, rotation, crop, colours, what cameras do, normalisation, erasing, in turn.

    A stage whose amplitude is 0 is not traced. Images larger than `augmentation.size`
    are cropped at random, or, where they are scaled or shifted, in the middle; smaller
    ones are a ValueError.

    Args:
      keys: `[m]` typed PRNG keys, one per image, of the threefry implementation: with
        others the numbers of a batch would depend on its size.
      images: `[m, H, W, 3]` uint8.
      augmentation: What to draw; static under `jit`.

    Returns:
      `[m, size, size, 3]` float32, normalised.
    """
    _check_size(images, augmentation.size)
    images = _random_geometry(keys, images, augmentation)
    images = _random_colors(keys, jnp.asarray(images, jnp.float32), augmentation)
    if augmentation.photograph:
        how = _draw(keys, _HARM, photograph.draw, augmentation.photograph)
        grain = jax.vmap(lambda key: jax.random.fold_in(key, _GRAIN))(keys)
        images = jax.vmap(photograph.harm)(grain, images, how)
    images = _standardize(images)
    if augmentation.erase:
        sizes = (augmentation.size, augmentation.erase, augmentation.erase_area)
        images = ops.erase(images, _draw(keys, _ERASE, draw_box, *sizes))
    return images


def preprocess(images: jax.Array, size: int) -> jax.Array:
    """Centre crop and normalisation, for evaluation and inference.

    uint8 `[m, H, W, 3]` -> float32 `[m, size, size, 3]`; smaller images are a
    ValueError.
    """
    _check_size(images, size)
    return _standardize(center_crop(images, size))


def center_crop(images: Any, size: int) -> Any:
    """`[m, H, W, ...]` -> `[m, size, size, ...]`, of a JAX or a NumPy array."""
    # An odd margin is halved to the even number, as torchvision does with `round`.
    top, left = (round((side - size) / 2) for side in images.shape[1:3])
    return images[:, top : top + size, left : left + size]


def _draw_jitter(
    key: jax.Array, ranges: tuple[tuple[float, float], ...]
) -> tuple[jax.Array, jax.Array]:
    """A random order of n colour operations, and an amount in the range of each."""
    order_key, amount_key = jax.random.split(key)
    order = jax.random.permutation(order_key, jnp.arange(len(ranges), dtype=jnp.int32))
    low, high = np.asarray(ranges, np.float32).T
    amounts = jax.random.uniform(amount_key, low.shape, jnp.float32, low, high)
    return order, amounts


def draw_box(
    key: jax.Array, size: int, probability: float, area: tuple[float, float]
) -> jax.Array:
    """A rectangle to erase: `[4]` int32, top, left, height, width, or all 0 for none.

    Area and aspect ratio are tried up to ten times until a rectangle is smaller than
    the image; if none is, nothing is erased. All tries are drawn at once and the first
    that fits is taken, which has the same distribution.
    """
    use_key, area_key, ratio_key, corner_key = jax.random.split(key, 4)
    tries = (_ERASE_TRIES,)
    pixels = size**2 * jax.random.uniform(area_key, tries, jnp.float32, *area)
    log_ratio = np.log(np.asarray(_ERASE_RATIO, np.float32))
    ratio = jnp.exp(jax.random.uniform(ratio_key, tries, jnp.float32, *log_ratio))
    sides = jnp.stack([jnp.sqrt(pixels * ratio), jnp.sqrt(pixels / ratio)], axis=-1)
    sides = jnp.round(sides).astype(jnp.int32)  # [tries, 2]: height, width
    fits = jnp.all(sides < size, axis=-1)
    sides = sides[jnp.argmax(fits)]  # the first that fits
    corner = jax.random.randint(corner_key, (2,), 0, size - sides + 1, jnp.int32)
    erased = jax.random.bernoulli(use_key, probability) & fits.any()
    return jnp.where(erased, jnp.concatenate([corner, sides]), 0)


def _random_geometry(
    keys: jax.Array, images: jax.Array, augmentation: Augmentation
) -> jax.Array:
    """uint8 `[m, H, W, 3]` -> `[m, size, size, 3]`, float32 where it interpolates."""
    size, sides = augmentation.size, np.asarray(images.shape[1:3])
    if augmentation.flip:
        flipped = _draw(keys, _FLIP, jax.random.bernoulli, augmentation.flip)
        images = ops.flip(images, flipped)

    def degrees() -> jax.Array:
        limits = (-augmentation.rotation, augmentation.rotation)
        return _draw(keys, _ROTATION, jax.random.uniform, (), jnp.float32, *limits)

    if augmentation.scale or augmentation.shift:
        moves = _draw(keys, _MOVE, jax.random.uniform, (3,), jnp.float32, -1.0, 1.0)
        scale = (1.0 + augmentation.scale) ** moves[:, 0]
        shift = augmentation.shift * size * moves[:, 1:]
        return ops.warp(images, degrees(), scale, shift, size)
    if augmentation.rotation:
        images = ops.rotate(images, degrees())
    if (sides != size).any():  # corners of both ends included
        ends = jnp.asarray(sides - size + 1, jnp.int32)
        top, left = _draw(keys, _CROP, jax.random.randint, (2,), 0, ends, jnp.int32).T
        images = ops.crop(images, top, left, size)
    return images


def _random_colors(
    keys: jax.Array, images: jax.Array, augmentation: Augmentation
) -> jax.Array:
    """Colour jitter of float32 levels `[m, h, w, 3]`."""
    ranges = {
        name: (max(0.0, 1.0 - amplitude), 1.0 + amplitude)
        for name in ("brightness", "contrast", "saturation")
        if (amplitude := getattr(augmentation, name))
    }
    if augmentation.hue:
        ranges["hue"] = (-augmentation.hue, augmentation.hue)
    if not ranges:
        return images
    order, amounts = _draw(keys, _JITTER, _draw_jitter, tuple(ranges.values()))
    return ops.color_jitter(images, order, amounts, tuple(ranges))


def _standardize(images: jax.Array) -> jax.Array:
    """RGB levels `[..., 3]` of any dtype -> float32, by the ImageNet statistics."""
    # XLA turns a division by a constant into a product with its rounded inverse. One
    # product instead of two divisions, by 255 and by std, rounds less.
    shape = (1,) * (images.ndim - 1) + (3,)
    mean = np.asarray(np.multiply(MEAN, 255.0), np.float32).reshape(shape)
    scale = np.asarray(1.0 / np.multiply(STD, 255.0), np.float32).reshape(shape)
    return (jnp.asarray(images, jnp.float32) - mean) * scale


def _draw(keys: jax.Array, stage: int, sampler: Callable[..., Any], *args: Any) -> Any:
    """`sampler(key, *args)` for each image, with the key of this stage."""
    return jax.vmap(lambda key: sampler(jax.random.fold_in(key, stage), *args))(keys)


def _check_size(images: jax.Array, size: int) -> None:
    h, w = images.shape[1:3]
    if min(h, w) < size:
        raise ValueError(
            f"Images of {h}x{w} are smaller than the crop of {size}x{size}; "
            f"resize them to at least {size}x{size} while decoding, or lower the size."
        )
