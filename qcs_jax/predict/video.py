"""Videos: the frames of a file, or of a camera as OpenCV numbers them."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from qcs_jax.predict.video_file import VideoFile
from qcs_jax.system.errors import UserError


class Video:
    """The frames of a file or of a camera; a context manager that closes it.

    Attributes:
      live: Whether it is a camera.
      size: Width and height of the first frame, in pixels.
      count: About how many frames there will be, or None if that is not known.
    """

    def __init__(self, source: str | os.PathLike | int, every: int = 1):
        """Opens it.

        Args:
          source: A file, or the number of a camera, from 0.
          every: Take only each n-th frame.

        Raises:
          UserError: if it cannot be opened, or is a file and PyAV is not installed.
        """
        if every < 1:
            raise UserError(f"every={every}: give 1 or more")
        self.live = isinstance(source, int)
        self._source: _Camera | VideoFile
        self._source = _Camera(source) if isinstance(source, int) else VideoFile(source)
        self._every = every
        self.size = self._source.size
        count = self._source.count
        self.count = count and -(-count // every)

    @property
    def cut_off(self) -> str | None:
        """After the last frame: what is missing of the file, or None."""
        read, duration = self._source.read, self._source.duration
        # Not every file says for how long its last frame is shown.
        if duration is None or duration - read < max(0.5, 0.05 * duration):
            return None
        return f"the video ends after {read:.1f} of {duration:.1f} seconds"

    def __iter__(self) -> Iterator[tuple[int, float, Image.Image]]:
        """Yields index, seconds and RGB image of each frame; see `Frame`."""
        for index, (seconds, pixels) in enumerate(self._source):
            if index % self._every == 0:
                yield index, seconds, Image.fromarray(pixels())

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: Any) -> None:
        self._source.close()


class _Camera:
    """The frames of a camera, as they come; the same attributes as a `VideoFile`."""

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
