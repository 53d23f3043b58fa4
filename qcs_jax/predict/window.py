"""A window that shows the frames of a video, where OpenCV can open one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from qcs_jax.system.errors import UserError

_TITLE = "qcs-jax video"
_LARGEST = 1280, 720  # pixels of the window at first; its owner can change them
_END, _PAUSE = (ord("q"), ord("Q"), 27), ord(" ")  # 27 is Esc
_INSTEAD = (
    "or look at it in a browser: qcs-jax export --checkpoint=fer2013 --format=web "
    "--out=page, then qcs-jax serve --page=page"
)


class Window:
    """Opens with the first frame; a context manager that closes it.

    Attributes:
      ended: Whether somebody pressed q or Esc, or closed it.
    """

    def __init__(self) -> None:
        """Raises UserError where there can be none."""
        import cv2  # takes a while

        if not cv2.currentUIFramework():
            raise UserError(
                "--show: this is OpenCV without windows: pip uninstall "
                "opencv-python-headless, then pip install opencv-python; " + _INSTEAD
            )
        if sys.platform == "linux" and not _can_open():
            raise UserError(
                "--show: no window can be opened on the display $DISPLAY: run it in "
                "the terminal of a desktop, or with ssh -X; " + _INSTEAD
            )
        self._cv2 = cv2
        self._opened = self.ended = False

    def show(self, image: Image.Image, seconds: float) -> None:
        """Shows an RGB image as soon as it comes; returns when no pause holds it."""
        cv2 = self._cv2
        if not self._opened:
            self._open(image)
        cv2.imshow(_TITLE, cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR))
        paused = False
        while not self.ended:
            key = cv2.waitKey(20 if paused else 1) & 0xFF
            self.ended = key in _END or not self._visible()
            paused ^= key == _PAUSE
            if not paused:
                return

    def until_ended(self, frames: Iterable[Any]) -> Iterator[Any]:
        """Yields what is shown, and stops when somebody has ended it."""
        for frame in frames:
            yield frame
            if self.ended:
                return

    def _open(self, image: Image.Image) -> None:
        cv2 = self._cv2
        # Qt would warn of fonts that no picture needs.
        os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")
        flags = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
        cv2.namedWindow(_TITLE, flags)
        scale = min(1, *(x / y for x, y in zip(_LARGEST, image.size, strict=True)))
        cv2.resizeWindow(_TITLE, *(round(scale * side) for side in image.size))
        self._opened = True

    def _visible(self) -> bool:
        try:
            return self._cv2.getWindowProperty(_TITLE, self._cv2.WND_PROP_VISIBLE) > 0
        except self._cv2.error:  # of some systems, once it is closed
            return False

    def __enter__(self) -> Window:
        return self

    def __exit__(self, *_: Any) -> None:
        self._cv2.destroyAllWindows()


def _can_open() -> bool:
    """Tries it in a process of its own, which Qt ends where it finds no display."""
    code = f"import cv2; cv2.namedWindow({_TITLE!r})"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True).returncode == 0
