"""Another face detector: YuNet, of a file of the OpenCV model zoo.

classifier = qcs_jax.load(detector=yunet.YuNet("face_detection_yunet_2023mar.onnx"))
"""

from __future__ import annotations

import os
import threading

import numpy as np
from PIL import Image

from qcs_jax.predict.detector import Detection
from qcs_jax.system.errors import UserError

# YuNet is made for faces of 10 to 300 pixels. An image is looked at with its longer
# side at most this long, and again smaller if that shows no face.
_LOOKS = (640, 320)
_CANVAS = _LOOKS[0]  # one input size, since some YuNet files allow no other

_CONFIDENCE = 0.6


class YuNet:
    """A `Detector`; it turns no photographs."""

    def __init__(self, path: str | os.PathLike):
        """Loads a YuNet file; raises UserError if it is not one."""
        path = os.fspath(path)
        if not os.path.isfile(path):
            raise UserError(
                f"there is no face detector {path}: download "
                f"face_detection_yunet_*.onnx from the OpenCV model zoo and name it"
            )
        import cv2  # takes a while, and crops of faces do without

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
        self._path = os.path.abspath(path)
        self._lock = threading.Lock()  # a detector keeps state while it runs

    def __reduce__(self) -> tuple:
        return YuNet, (self._path,)

    def __call__(self, image: Image.Image) -> list[Detection]:
        """Finds all faces of an upright RGB image; the largest comes first."""
        for longest in _LOOKS:
            shrink = min(1.0, longest / max(image.size))
            w, h = (max(1, round(length * shrink)) for length in image.size)
            canvas = np.zeros((_CANVAS, _CANVAS, 3), np.uint8)
            small = np.asarray(image.resize((w, h), Image.Resampling.BILINEAR))
            canvas[:h, :w] = small[..., ::-1]  # BGR, as OpenCV has it
            with self._lock:
                _, rows = self._detector.detect(canvas)
            if rows is not None and len(rows):
                faces = [_detection(row, shrink) for row in rows.astype(np.float64)]
                return sorted(faces, key=lambda face: -face.area)
        return []

    upright = __call__


def _detection(row: np.ndarray, shrink: float) -> Detection:
    """A row: x, y, width, height, eyes, nose, corners of the mouth, confidence."""
    x, y, width, height = row[:4] / shrink
    points = row[4:14].reshape(5, 2) / shrink
    landmarks = np.concatenate([points[:3], points[3:].mean(axis=0, keepdims=True)])
    return Detection(np.array((x, y, x + width, y + height)), landmarks, float(row[14]))
