"""Whether an image shows enough of a face to say what it shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NOTES = SMALL, CUT_OFF, DARK = "small", "cut off", "dark"

# On every fourth image of FER2013's PublicTest the network that comes with the
# package is right about 66.1 %, and always answering the most frequent class about
# 24.9 %. Of the same images in fewer pixels, enlarged, it is right about 62.2 % (32
# pixels wide), 60.2 (28), 59.6 (24), 56.5 (20), 52.6 (16), 46.5 (12), 39.6 (10), 34.9
# (8); in little light, by the formula of `images.corruptions`, about 62.9 % (mean
# luminance 52), 60.5 (20), 57.9 (10.5), 50.1 (6.6), 43.7 (4.6), 36.4 (3.3), 26.1
# (2.4). Boxes are 0.8 to 0.9 as wide as these images: 24 pixels are a box in one of
# 28. Smaller ones are also placed less well.
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
