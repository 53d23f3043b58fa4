"""Boxes and labels on photographs and on frames of a video."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_COLOR, _INK = (0, 158, 115), (255, 255, 255)


def draw_boxes(
    image: Image.Image, boxes: Iterable[tuple[np.ndarray, str]]
) -> Image.Image:
    """Returns a copy with a box around every face, and a text above it.

    Args:
      image: RGB.
      boxes: Left, top, right and bottom in pixels, and the text; the first lies on top.
    """
    image = image.copy()
    pen = ImageDraw.Draw(image)
    width = max(2, round(max(image.size) / 300))
    for box, text in reversed(list(boxes)):
        left, top, right, bottom = box.tolist()
        pen.rectangle((left, top, right, bottom), outline=_COLOR, width=width)
        size = max(12, min(round((right - left) / 8), 48))
        spot = _inside(image.size, (left, top - 1.4 * size))
        ground = np.array(pen.textbbox(spot, text, _font(size)))
        ground += width * np.array((-1, -1, 1, 1))
        pen.rectangle(tuple(ground), fill=_COLOR)
        pen.text(spot, text, _INK, _font(size))
    return image


@functools.cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _inside(size: tuple[int, int], spot: tuple[float, float]) -> tuple[float, float]:
    """A place for text that begins inside of the image."""
    x, y = (min(max(at, 0), 0.9 * side) for at, side in zip(spot, size, strict=True))
    return x, y
