"""Whether an image shows enough of a face to say what it shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NOTES = SMALL, CUT_OFF, DARK = "small", "cut off", "dark"

# On every fourth image of FER2013's PublicTest the network that comes with the
# package is right about 66.7 %, and always answering the most frequent class about
# 24.9 %. Of the same images in fewer pixels, enlarged, it is right about 63.7 % (32
# pixels wide), 62.9 (28), 61.4 (24), 58.4 (20), 54.6 (16), 47.2 (12), 38.9 (10), 35.6
# (8); in little light, by the formula of `images.corruptions`, about 65.4 % (mean
# luminance 52), 62.6 (20), 59.5 (10.5), 50.8 (6.6), 46.7 (4.6), 41.4 (3.3), 33.5
# (2.4), 28.5 (1.6). Boxes are 0.8 to 0.9 as wide as these images: 24 pixels are a box
# in one of 28. Smaller ones are also placed less well.
_WIDTH = 24
_LUMINANCE = 8
_VISIBLE = 0.5
_LUMA = np.array((299, 587, 114))  # of RGB, in thousandths: ITU-R BT.601


def lacks(
    box: np.ndarray, size: tuple[int, int], pixels: np.ndarray
) -> tuple[str, ...]:
    """Returns what an image lacks to be sure of a face: of "small", "cut off", "dark".

    A face is small if its box is less than 24 pixels wide, cut off if half of the box
    or more is outside of the image, and dark if the mean luminance of what the network
    is given is below 8 of 255.

    Args:
      box: `[4]`: left, top, right and bottom, in pixels of the image.
      size: Width and height of the image.
      pixels: uint8 `[s, s, 3]`, what is cut out for the network.
    """
    sides = box[2:] - box[:2]
    visible = np.clip(box[2:], 0, size) - np.clip(box[:2], 0, size)
    luminance = np.mean(pixels, axis=(0, 1)) @ _LUMA / 1000
    found = {
        SMALL: sides[0] < _WIDTH,
        CUT_OFF: visible.prod() <= _VISIBLE * sides.prod(),
        DARK: luminance < _LUMINANCE,
    }
    return tuple(name for name, so in found.items() if so)


def noted(quality: Sequence[str]) -> str:
    """What follows a label: "" or " (small, dark)"."""
    return f" ({', '.join(quality)})" if quality else ""
