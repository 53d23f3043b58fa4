"""Finds the faces of a photograph, with a YuNet of the OpenCV model zoo."""

from __future__ import annotations

import os
import threading

import numpy as np
from PIL import Image

from qcs_jax.predict.detector import Detection
from qcs_jax.system.errors import UserError

# It is made for faces of 10 to 300 pixels. An image is looked at with its longer side
# at most this long, and again smaller if that shows no face.
_LOOKS = (640, 320)
_SIDE = 640  # one input size, since some files allow no other
_CONFIDENCE = 0.6


class YuNet:
    """Another `Detector`, of a file of the model zoo; it turns no photographs.

    `qcs_jax.load(detector=yunet.YuNet("face_detection_yunet_2023mar.onnx"))` uses it,
    after `from qcs_jax.predict import yunet`.
    """

    def __init__(self, path: str | os.PathLike):
        """Loads a YuNet file; raises UserError if it is not one."""
        path = os.fspath(path)
        if not os.path.isfile(path):
            raise UserError(
                f"there is no face detector {path}: download "
                f"face_detection_yunet_*.onnx from the OpenCV model zoo and name it"
            )
        import cv2  # takes a while, and crops of faces do without

        size, nothing = (_SIDE, _SIDE), np.empty(0, np.uint8)
        logs = cv2.utils.logging
        level = logs.setLogLevel(logs.LOG_LEVEL_ERROR)  # it warns of its own defaults
        try:
            self._detector = cv2.FaceDetectorYN.create(
                "onnx", np.fromfile(path, np.uint8), nothing, size, _CONFIDENCE
            )
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
        faces: list[Detection] = []
        for shrink in (min(1.0, longest / max(image.size)) for longest in _LOOKS):
            w, h = (max(1, round(length * shrink)) for length in image.size)
            canvas = np.zeros((_SIDE, _SIDE, 3), np.uint8)
            small = np.asarray(image.resize((w, h), Image.Resampling.BILINEAR))
            canvas[:h, :w] = small[..., ::-1]  # BGR, as OpenCV has it
            with self._lock:
                _, rows = self._detector.detect(canvas)
            # A row: left, top, width and height, five points, and the confidence.
            for row in [] if rows is None else rows.astype(np.float64):
                (corner, size), score = row[:4].reshape(2, 2) / shrink, float(row[14])
                eyes_nose, mouth = np.split(row[4:14].reshape(5, 2) / shrink, [3])
                points = np.concatenate([eyes_nose, mouth.mean(axis=0, keepdims=True)])
                box = np.concatenate([corner, corner + size])
                faces.append(Detection(box, points, score))
            if faces:
                break
        return sorted(faces, key=lambda face: -face.area)

    upright = __call__
