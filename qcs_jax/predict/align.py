"""Sets the face of a photograph straight, as in the training images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from qcs_jax.predict.detector import BlazeFace, Detection, overlap
from qcs_jax.system.errors import UserError

# Where the usual alignment for face recognition (ArcFace) puts the landmarks, as parts
# of the side of the image: eyes, tip of the nose, and the middle of its two corners of
# the mouth.
TEMPLATE = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366)])
TEMPLATE = np.concatenate([TEMPLATE, [(56.1397, 92.2848)]]) / 112

# Crops of data sets are squares of 48 to 112 pixels, or of what their networks take.
_CROP = 128

# Overlap (IoU) of a crop with what would be cut out of it. Of 2,475 crops of two data
# sets 99 of 100 have more; a face that is 0.6 times as wide as theirs has 0.36.
_FITS = 0.4


def is_crop(
    image: Image.Image, faces: Sequence[Detection], template: np.ndarray, side: int
) -> bool:
    """Whether an image is cut out around its face already, as data sets have it.

    Networks know such crops as they are, and landmarks of so few pixels are not sure
    enough to cut them once more. A photograph that was cropped by hand has another
    shape, or more pixels, and has its face cut out. A small square without any face is
    a crop whose face the detector does not know. `side` is that of what the network
    takes, in pixels.
    """
    width, height = image.size
    if width != height or width > max(_CROP, side) or len(faces) > 1:
        return False
    if not faces:
        return True
    matrix = similarity(faces[0].landmarks, template)
    half = 0.5 / np.hypot(*matrix[:, 0])  # in pixels of the image
    center = np.linalg.solve(matrix[:, :2], 0.5 - matrix[:, 2])
    would = np.concatenate([center - half, center + half])
    return overlap(would, np.array((0, 0, width, width))) >= _FITS


def template_of(faces: Iterable[Image.Image]) -> np.ndarray | None:
    """Measures where the landmarks are in upright RGB squares, cut out already.

    Returns the median over those in which one face is found, as a template; None if
    that is less than a third of them, or less than ten.
    """
    detect = BlazeFace()
    seen = [(face.width, detect.upright(face)) for face in faces]
    measured = [one[0].landmarks / side for side, one in seen if len(one) == 1]
    enough = len(measured) >= max(10, len(seen) / 3)
    return np.median(measured, axis=0) if enough else None


def similarity(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Rotation, scale and shift that bring points `[n, 2]` nearest to targets.

    Least squares, never a reflection. Returns m, float64 `[2, 3]`:
    `targets ~ points @ m[:, :2].T + m[:, 2]`. UserError if all points are the same.
    """
    # In the plane of complex numbers it is targets ~ turn * points + shift.
    p, q = (np.asarray(x, np.float64) @ (1, 1j) for x in (points, targets))
    spread = p - p.mean()
    power = np.vdot(spread, spread).real
    if not power > 0:
        raise UserError("the landmarks of the face coincide")
    turn = np.vdot(spread, q - q.mean()) / power
    shift = q.mean() - turn * p.mean()
    return np.array(
        [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]]
    )


def warp(image: Image.Image, matrix: np.ndarray, side: int) -> Image.Image:
    """Applies a similarity, from pixels of an RGB image to those of a square.

    `similarity(face.landmarks, template * side)` brings a face to a template.
    The edge goes on where the image ends: training images have no black corners. Of 330
    crops of photographs, as narrow as 0.75 times what is cut out, 7 % got another class
    with black ones than the whole photograph got, 2 % without.
    """
    turn = np.linalg.inv(matrix[:, :2])
    back = np.column_stack([turn, -turn @ matrix[:, 2]])  # result -> image
    # Pillow's transform does not average: shrink before.
    scale = min(1.0, np.hypot(*matrix[:, 0]))
    image, back = _part(image, back, scale, side)
    size, kind = (side, side), Image.Transform.AFFINE
    return image.transform(size, kind, tuple(back.ravel()), Image.Resampling.BILINEAR)


def _part(
    image: Image.Image, back: np.ndarray, scale: float, side: int
) -> tuple[Image.Image, np.ndarray]:
    """The part of the image that is seen, scaled, and how the result maps to it."""
    corners = np.array([(0, 0), (side, 0), (0, side), (side, side)])
    seen = corners @ back[:, :2].T + back[:, 2]
    low = np.clip(np.floor(seen.min(axis=0)) - 1, 0, np.array(image.size) - 1)
    high = np.clip(np.ceil(seen.max(axis=0)) + 1, low + 1, image.size)
    size = np.maximum(1, np.round((high - low) * scale)).astype(int)
    part = image.resize(tuple(size), Image.Resampling.BILINEAR, (*low, *high))
    factor = size / (high - low)
    seen = (seen - low) * factor
    before = np.maximum(0, np.ceil(1 - seen.min(axis=0))).astype(int)
    after = np.maximum(0, np.ceil(seen.max(axis=0) + 1 - size)).astype(int)
    beyond = [(before[1], after[1]), (before[0], after[0]), (0, 0)]
    padded = np.pad(np.asarray(part), beyond, "edge")
    back = back.copy()
    back[:, 2] -= low
    back *= factor[:, None]
    back[:, 2] += before
    return Image.fromarray(padded), back
