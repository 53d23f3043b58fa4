"""Cameras: what they see now, however long it takes to look at it."""

from __future__ import annotations

import collections
import functools
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

from qcs_jax.system.errors import UserError


class Camera:
    """The newest frames of a camera; its attributes are those of a `_File`.

    A thread takes every frame from the camera. Whoever looks at frames more slowly than
    they come would see, from the driver's queue, what was a second ago.
    """

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
        self._newest = collections.deque[tuple[float, np.ndarray]](maxlen=1)
        self._changed = threading.Condition()
        self._over = False
        # A daemon: it does not keep a program from its end that never calls `close`.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __iter__(self) -> Iterator[tuple[float, Callable[[], np.ndarray]]]:
        """Yields seconds from the first, and what gives the RGB pixels `[h, w, 3]`."""
        start = None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._newest or self._over)
                if not self._newest:
                    return
                when, pixels = self._newest.pop()
            start = when if start is None else start
            rgb = functools.partial(np.ascontiguousarray, pixels[..., ::-1])
            yield when - start, rgb

    def _read(self) -> None:
        try:
            while not self._over and self._capture.grab():
                when = time.monotonic()
                read, pixels = self._capture.retrieve()
                if not read:
                    return
                with self._changed:
                    self._newest.append((when, pixels))
                    self._changed.notify()
        finally:
            with self._changed:
                self._over = True
                self._changed.notify()

    def close(self) -> None:
        self._over = True
        self._reader.join()
        self._capture.release()
