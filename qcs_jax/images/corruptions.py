"""Faces as cameras often give them: blurred, noisy, dark, hidden in part, not in place.

After the common corruptions of Hendrycks and Dietterich (ICLR 2019), chosen for faces.
Sizes are parts of the side of the image, so that images of all sizes suffer alike;
noise and compression are of pixels.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

SEVERITIES = (1, 2, 3, 4, 5)

# Levels are float64 [s, s, 3], 0 to 255; the generator draws the same whatever the
# severity, so that the severities of one image differ in nothing else.
_Corrupt = Callable[[np.ndarray, int, np.random.Generator, np.ndarray], np.ndarray]


def corrupt(
    pixels: np.ndarray, name: str, severity: int, key: str, landmarks: np.ndarray
) -> np.ndarray:
    """Makes an image uint8 `[s, s, 3]` worse, always in the same way.

    Args:
      pixels: The image.
      name: One of `CORRUPTIONS`.
      severity: One of `SEVERITIES`; 5 is the worst.
      key: Name of the image: images of other names get other directions and noise.
      landmarks: `[4, 2]`, where eyes, nose and mouth are, as parts of the side.
    """
    digest = hashlib.sha256(f"{name}\0{key}".encode(errors="surrogateescape")).digest()
    rng = np.random.default_rng(list(digest))
    levels = pixels.astype(np.float64)
    worse = CORRUPTIONS[name](levels, severity - 1, rng, np.asarray(landmarks))
    return np.clip(np.round(worse), 0, 255).astype(np.uint8)


def _motion_blur(x: np.ndarray, i: int, rng: Any, _: np.ndarray) -> np.ndarray:
    """The mean along a line of some direction."""
    length = (0.04, 0.08, 0.12, 0.17, 0.24)[i] * len(x)
    angle = rng.uniform(0, np.pi)
    reach = int(np.ceil(length / 2)) + 1
    steps = np.linspace(-length / 2, length / 2, 8 * reach)
    down, right = reach + steps * np.sin(angle), reach + steps * np.cos(angle)
    line = np.zeros((2 * reach + 1, 2 * reach + 1))
    for row in (0, 1):  # every point is shared by the four pixels around it
        for column in (0, 1):
            at = np.floor(down).astype(int) + row, np.floor(right).astype(int) + column
            share = (1 - np.abs(down - at[0])) * (1 - np.abs(right - at[1]))
            np.add.at(line, at, share)
    return _filtered(x, line)


def _defocus_blur(x: np.ndarray, i: int, rng: Any, _: np.ndarray) -> np.ndarray:
    """The mean over a disc."""
    radius = max(0.5, (0.015, 0.03, 0.045, 0.06, 0.08)[i] * len(x))
    reach = int(np.ceil(radius)) + 1
    # Pixels on its border count in part: seen through a grid four times as fine.
    fine = (np.arange(8 * reach + 4) + 0.5) / 4 - (reach + 0.5)
    inside = np.hypot(fine[:, None], fine) <= radius
    return _filtered(x, inside.reshape(2 * reach + 1, 4, -1, 4).mean((1, 3)))


def _filtered(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means around each pixel, by Fourier; the border is repeated."""
    reach = len(weights) // 2
    around = np.pad(x, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    shape, axes = around.shape[:2], (0, 1)
    spectrum = np.fft.rfft2(weights / weights.sum(), shape)[..., None]
    result = np.fft.irfft2(np.fft.rfft2(around, axes=axes) * spectrum, shape, axes)
    return result[2 * reach :, 2 * reach :]


def _noise(x: np.ndarray, i: int, rng: Any, _: np.ndarray) -> np.ndarray:
    """Of the sensor, at a high gain: normal, independent in every channel."""
    return x + (10, 20, 32, 46, 64)[i] * rng.standard_normal(x.shape)


def _jpeg(x: np.ndarray, i: int, rng: Any, _: np.ndarray) -> np.ndarray:
    """Compressed too much."""
    buffer = io.BytesIO()
    image = Image.fromarray(x.astype(np.uint8))
    image.save(buffer, "JPEG", quality=(30, 18, 12, 8, 5)[i])
    return np.asarray(Image.open(buffer), np.float64)


def _low_light(x: np.ndarray, i: int, rng: Any, _: np.ndarray) -> np.ndarray:
    """Few photons: dark, and the darker, the noisier for what is left."""
    light = (0.6, 0.4, 0.25, 0.15, 0.08)[i]
    noise = rng.standard_normal(x.shape)
    dark = light * x
    return dark + np.sqrt(dark) * noise


def _low_resolution(x: np.ndarray, i: int, rng: Any, _: np.ndarray) -> np.ndarray:
    """A face far away, so many pixels wide and no more, enlarged."""
    side = min((36, 28, 20, 15, 11)[i], len(x))
    image = Image.fromarray(x.astype(np.uint8))
    small = image.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(small.resize(image.size, Image.Resampling.BILINEAR), np.float64)


def _hidden(x: np.ndarray, i: int, at: np.ndarray, level: float) -> np.ndarray:
    """A box of one grey around a place."""
    width = (0.36, 0.48, 0.6, 0.72, 0.84)[i]
    half = np.array((width, 0.4 * width)) / 2
    (left, top), (right, bottom) = np.round(
        len(x) * np.clip([at - half, at + half], 0, 1)
    )
    hidden = x.copy()
    hidden[int(top) : int(bottom), int(left) : int(right)] = level
    return hidden


def _rotation(x: np.ndarray, i: int, rng: Any, _: np.ndarray) -> np.ndarray:
    """A head that leans to one side, or an alignment that failed."""
    degrees = (8, 16, 25, 35, 50)[i] * rng.choice((-1, 1))
    image = Image.fromarray(x.astype(np.uint8))
    return np.asarray(image.rotate(degrees, Image.Resampling.BILINEAR), np.float64)


def _shift(x: np.ndarray, i: int, rng: Any, _: np.ndarray) -> np.ndarray:
    """A box beside the face: moved by pixels, or parts of one; black follows."""
    length, angle = (0.05, 0.1, 0.15, 0.2, 0.26)[i] * len(x), rng.uniform(0, 2 * np.pi)
    by = (length * np.sin(angle), length * np.cos(angle), 0)
    return ndimage.shift(x, by, order=1, mode="grid-constant")


CORRUPTIONS: dict[str, _Corrupt] = {
    "motion blur": _motion_blur,
    "defocus blur": _defocus_blur,
    "noise": _noise,
    "JPEG": _jpeg,
    "low light": _low_light,
    "low resolution": _low_resolution,
    # Dark glasses; and a mask, or a hand before the mouth.
    "eyes hidden": lambda x, i, rng, at: _hidden(x, i, at[:2].mean(axis=0), 24.0),
    "mouth hidden": lambda x, i, rng, at: _hidden(x, i, at[3], 200.0),
    "rotation": _rotation,
    "shift": _shift,
}
