"""Frames of a camera, as OpenCV numbers them on every system."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from qcs_jax.system.errors import UserError


class Camera:
    """The frames of a camera, as they come.

    Attributes:
      size: Width and height in pixels.
      count: None: they have no end.
      duration: None.
      read: 0.
    """

    count = duration = None
    read = 0.0

    def __init__(self, number: int):
        """Opens it.

        Raises:
          UserError: if it cannot be opened.
        """
        import cv2  # takes a while

        with _silent(cv2):
            self._capture = cv2.VideoCapture(number)
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
        """Closes it."""
        self._capture.release()


@contextlib.contextmanager
def _silent(cv2: Any) -> Iterator[None]:
    logs = cv2.utils.logging
    level = logs.setLogLevel(logs.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logs.setLogLevel(level)
