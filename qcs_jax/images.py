"""From encoded bytes to the pixels that the networks are given."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


def to_pixels(image: Image.Image, side: int) -> np.ndarray:
    """RGB, upright, resized bilinearly (as Pillow does) to a square.

    Args:
      image: Any Pillow image.
      side: Side of the result in pixels.

    Returns:
      uint8 `[side, side, 3]`.
    """
    image = _rgb(ImageOps.exif_transpose(image))
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _rgb(image: Image.Image) -> Image.Image:
    """8 bits per channel; what is transparent shows its colour."""
    if image.mode.startswith("I;16"):  # Pillow would clip at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:  # or Pillow warns
        image = image.convert("RGBA")
    return image.convert("RGB")


def decode(data: bytes, side: int) -> np.ndarray:
    """Encoded image (JPEG, PNG, ...) -> uint8 `[side, side, 3]`.

    Raises:
      OSError: if it is not one, or only a part of one.
    """
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:  # its own message names a buffer in memory
        raise OSError("not an image of a known format") from None
    with image:
        return to_pixels(image, side)
