"""Cameras: their frames, as they come."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator

import numpy as np

from qcs_jax.system.errors import UserError


class Camera:
    """The frames of a camera, as they come; its attributes are those of a `_File`."""

    count = duration = None
    read = 0.0

    def __init__(self, number: int):
        import cv2  # takes a while

        logs = cv2.utils.logging
        level = logs.setLogLevel(logs.LOG_LEVEL_SILENT)
        try:
            self._capture = cv2.VideoCapture(number)
        finally:
            logs.setLogLevel(level)
        if not self._capture.isOpened():
            raise UserError(f"there is no camera {number}, or it is in use")
        sides = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT
        width, height = (int(self._capture.get(side)) for side in sides)
        self.size = width, height

    def __iter__(self) -> Iterator[tuple[float, Callable[[], np.ndarray]]]:
        """Yields seconds from now, and what gives the RGB pixels `[h, w, 3]`."""
        start = time.monotonic()
        while self._capture.grab():
            seconds = time.monotonic() - start
            read, pixels = self._capture.retrieve()
            if not read:
                return
            yield seconds, functools.partial(np.ascontiguousarray, pixels[..., ::-1])

    def close(self) -> None:
        self._capture.release()
