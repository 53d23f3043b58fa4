"""FER2013 as it was published: its classes, its splits and its rows of pixels."""

import io

from PIL import Image

from qcs_jax.images import datasets

SIDE = 48
CLASS_NAMES = datasets.CLASS_NAMES["fer2013"]  # in the order of the numbers
SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
PUBLISHED = {
    "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "validation": (467, 56, 496, 895, 653, 415, 607),
    "test": (491, 55, 528, 879, 594, 416, 626),
}
KAGGLE = (
    "https://www.kaggle.com/c/"
    "challenges-in-representation-learning-facial-expression-recognition-challenge"
)


def png(text: str) -> bytes:
    """Turns the pixels of a row into a PNG.

    Args:
      text: 48 x 48 numbers from 0 to 255, row by row.

    Raises:
      ValueError: if it is something else.
    """
    try:
        pixels = bytes(map(int, text.split()))
    except ValueError:
        raise ValueError("pixels that are not numbers in 0..255") from None
    if len(pixels) != SIDE * SIDE:
        raise ValueError(f"{len(pixels):,} pixels instead of {SIDE * SIDE:,}")
    buffer = io.BytesIO()
    Image.frombytes("L", (SIDE, SIDE), pixels).save(buffer, "PNG")
    return buffer.getvalue()
