"""Finds the face in a photograph and sets it straight, as in the training images.

    classifier = qcs_jax.load("runs/x", aligner=align.Aligner("yunet.onnx"))

Needs the extra `qcs_jax[align]` (OpenCV) and the file of a YuNet face detector,
`face_detection_yunet_*.onnx` of the OpenCV model zoo, which no package brings along.
"""

from __future__ import annotations

import os
import threading

import numpy as np
from PIL import Image

from qcs_jax.system.errors import UserError

# Where the usual alignment for face recognition (ArcFace) puts eyes, tip of the nose
# and corners of the mouth, left to right as seen, in an image of 112 x 112 pixels.
TEMPLATE = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
)
_TEMPLATE_SIDE = 112

# YuNet is made for faces of 10 to 300 pixels. An image is looked at with its longer
# side at most this long, and again smaller if that shows no face.
_LOOKS = (640, 320)
_CANVAS = _LOOKS[0]  # one input size, since some YuNet files allow no other

_CONFIDENCE = 0.6


class NoFaceFound(UserError):
    """An image shows no face, or none that the detector is sure of."""


class Aligner:
    """Photograph -> its largest face, turned, scaled and moved to the template."""

    def __init__(self, detector: str | os.PathLike):
        """Loads the detector.

        Args:
          detector: A YuNet file.

        Raises:
          UserError: if it is not one, or OpenCV is not installed.
        """
        path = os.fspath(detector)
        if not os.path.isfile(path):
            raise UserError(
                f"there is no face detector {path}: download "
                f"face_detection_yunet_*.onnx from the OpenCV model zoo and name it"
            )
        try:
            import cv2
        except ImportError as error:
            raise UserError(
                "face alignment needs OpenCV: pip install 'qcs_jax[align]'"
            ) from error
        size = (_CANVAS, _CANVAS)
        logs = cv2.utils.logging
        level = logs.setLogLevel(logs.LOG_LEVEL_ERROR)  # it warns of its own defaults
        try:
            self._detector = cv2.FaceDetectorYN.create(path, "", size, _CONFIDENCE)
            self._detector.detect(np.zeros((*size, 3), np.uint8))
        except cv2.error as error:
            raise UserError(
                f"{path} is not a YuNet face detector that OpenCV {cv2.__version__} "
                f"can run: try face_detection_yunet_2023mar.onnx or a later one"
            ) from error
        finally:
            logs.setLogLevel(level)
        self._lock = threading.Lock()  # a detector keeps state while it runs

    def __call__(self, image: Image.Image, side: int = 224) -> Image.Image:
        """Cuts out the largest face.

        Args:
          image: Upright, of any size.
          side: Side of the result in pixels.

        Returns:
          An RGB square; black where the photograph ends.

        Raises:
          NoFaceFound: if there is none.
        """
        image = image.convert("RGB")
        matrix = similarity(self.landmarks(image), TEMPLATE * (side / _TEMPLATE_SIDE))
        return warp(image, matrix, side)

    def landmarks(self, image: Image.Image) -> np.ndarray:
        """Eyes, nose, corners of the mouth of the largest face, as in `TEMPLATE`.

        Args:
          image: Upright RGB.

        Returns:
          float64 `[5, 2]`: x and y in pixels.

        Raises:
          NoFaceFound: if there is none.
        """
        for longest in _LOOKS:
            shrink = min(1.0, longest / max(image.size))
            faces = self._detect(image, shrink)
            if len(faces):
                # A row: x, y, width, height, five points, confidence.
                largest = faces[np.argmax(faces[:, 2] * faces[:, 3])]
                return largest[4:14].reshape(5, 2).astype(np.float64) / shrink
        raise NoFaceFound("no face found")

    def _detect(self, image: Image.Image, shrink: float) -> np.ndarray:
        width, height = (max(1, round(length * shrink)) for length in image.size)
        size = width, height
        canvas = np.zeros((_CANVAS, _CANVAS, 3), np.uint8)
        small = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
        canvas[: size[1], : size[0]] = small[..., ::-1]  # BGR, as OpenCV has it
        with self._lock:
            _, faces = self._detector.detect(canvas)
        return np.zeros((0, 15)) if faces is None else faces


def similarity(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Rotation, scale and shift that bring points nearest to targets.

    Least squares; never a reflection.

    Args:
      points: `[n, 2]`, not all the same.
      targets: `[n, 2]`.

    Returns:
      float64 `[2, 3]`; `targets ~ points @ m[:, :2].T + m[:, 2]`.

    Raises:
      NoFaceFound: if all points are the same.
    """
    # In the plane of complex numbers it is targets ~ turn * points + shift.
    p, q = (np.asarray(x, np.float64) @ (1, 1j) for x in (points, targets))
    spread = p - p.mean()
    power = np.vdot(spread, spread).real
    if not power > 0:
        raise NoFaceFound("the landmarks of the face coincide")
    turn = np.vdot(spread, q - q.mean()) / power
    shift = q.mean() - turn * p.mean()
    return np.array(
        [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]]
    )


def warp(image: Image.Image, matrix: np.ndarray, side: int) -> Image.Image:
    """Applies a similarity transform; black where there is no image.

    Args:
      image: RGB.
      matrix: `[2, 3]`, from pixels of `image` to pixels of the result.
      side: Side of the result in pixels.
    """
    turn = np.linalg.inv(matrix[:, :2])
    back = np.column_stack([turn, -turn @ matrix[:, 2]])  # result -> image
    scale = np.hypot(*matrix[:, 0])
    if scale < 1:  # Pillow's transform does not average: shrink before
        image, back = _shrink(image, back, scale, side)
    size, kind = (side, side), Image.Transform.AFFINE
    return image.transform(size, kind, tuple(back.ravel()), Image.Resampling.BILINEAR)


def _shrink(
    image: Image.Image, back: np.ndarray, scale: float, side: int
) -> tuple[Image.Image, np.ndarray]:
    """The part of the image that is seen, scaled, and how the result maps to it."""
    corners = np.array([(0, 0), (side, 0), (0, side), (side, side)])
    seen = corners @ back[:, :2].T + back[:, 2]
    low = np.clip(np.floor(seen.min(axis=0)) - 1, 0, np.array(image.size) - 1)
    high = np.clip(np.ceil(seen.max(axis=0)) + 1, low + 1, image.size)
    size = np.maximum(1, np.round((high - low) * scale))
    box = (*low, *high)
    image = image.resize(tuple(size.astype(int)), Image.Resampling.BILINEAR, box)
    back = back.copy()
    back[:, 2] -= low
    return image, back * (size / (high - low))[:, None]
