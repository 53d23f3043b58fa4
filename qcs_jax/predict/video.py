"""Every face of every frame of a video, and what it shows."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from qcs_jax.predict.align import Aligner
from qcs_jax.predict.drawing import draw_boxes
from qcs_jax.predict.photograph import FaceFound
from qcs_jax.predict.prediction import Prediction
from qcs_jax.predict.tracking import Tracker
from qcs_jax.system.errors import UserError

_NO_RATE = 30.0  # frames per second of a camera or file that does not say


@dataclasses.dataclass(frozen=True, eq=False)
class FaceTracked(FaceFound):
    """One face of a frame.

    Attributes:
      id: 1, 2, ...: the same for the same face in all frames.
      prediction: What it shows, smoothed over the frames before; see `Tracker.update`.
    """

    id: int


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video and its faces.

    Attributes:
      index: Its number, from 0.
      seconds: When it is seen, from the start.
      image: RGB.
      faces: In the order of their ids; faces that are turned by more than about 40
        degrees are not found.
      detecting: Seconds that finding the faces took.
      classifying: Seconds that all else took: cutting them out, and the network.
    """

    index: int
    seconds: float
    image: Image.Image
    faces: tuple[FaceTracked, ...]
    detecting: float
    classifying: float

    def draw(self) -> Image.Image:
        """Returns a copy with a box around every face, and its id and label above."""
        return draw_boxes(
            self.image,
            (
                (face.box, f"{face.id}: {face.label} {100 * face.confidence:.0f} %")
                for face in self.faces
            ),
        )


class Video:
    """The frames of a file or of a camera; a context manager that closes it.

    Attributes:
      rate: Frames per second.
      size: Width and height in pixels.
      count: Number of frames, or None if that is not known.
      live: Whether it is a camera.
    """

    def __init__(self, source: str | os.PathLike | int, every: int = 1):
        """Opens it.

        Args:
          source: A file, or the number of a camera, from 0.
          every: Take only each n-th frame.

        Raises:
          UserError: if it cannot be opened.
        """
        if every < 1:
            raise UserError(f"every={every}: give 1 or more")
        cv2 = _opencv()
        self.live = isinstance(source, int)
        if isinstance(source, int):
            with _silent(cv2):
                self._capture = cv2.VideoCapture(source)
            why = f"there is no camera {source}, or it is in use"
        else:
            path = _named(source)
            if not os.path.isfile(path):
                raise UserError(f"there is no video {path}")
            with _silent(cv2):
                self._capture = cv2.VideoCapture(path)
            why = f"{path} is not a video that OpenCV {cv2.__version__} can read"
        if not self._capture.isOpened():
            raise UserError(why)
        self._every = every
        self.rate = self._capture.get(cv2.CAP_PROP_FPS) or _NO_RATE
        sides = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT
        width, height = (int(self._capture.get(side)) for side in sides)
        self.size = width, height
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count = None if self.live or count <= 0 else -(-count // every)

    def __iter__(self) -> Iterator[tuple[int, float, Image.Image]]:
        """Yields number, seconds from the start, and RGB image of each frame."""
        start, index = time.monotonic(), 0
        while self._capture.grab():
            if index % self._every == 0:
                seconds = time.monotonic() - start if self.live else index / self.rate
                read, pixels = self._capture.retrieve()
                if not read:
                    return
                yield index, seconds, Image.fromarray(pixels[..., ::-1].copy())
            index += 1

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: Any) -> None:
        self._capture.release()


def watch(
    video: Iterable[tuple[int, float, Image.Image]],
    aligner: Aligner,
    side: int,
    classify: Callable[[list[np.ndarray]], Iterable[Prediction]],
) -> Iterator[Frame]:
    """Finds, follows and classifies the faces of a video; see `photograph.examine`."""
    tracker = Tracker()
    for index, seconds, image in video:
        start = time.perf_counter()
        found = aligner.detect.upright(image)
        found_at = time.perf_counter()
        crops = [np.asarray(aligner.cut(image, face, side)) for face in found]
        now = list(classify(crops))
        boxes = [face.box for face in found]
        tracked = tracker.update(boxes, [p.probabilities for p in now], seconds)
        faces = [
            FaceTracked(
                Prediction.of(p, prediction.class_names),
                face.box,
                face.landmarks,
                face.score,
                pixels,
                id,
            )
            for (id, p), prediction, face, pixels in zip(
                tracked, now, found, crops, strict=True
            )
        ]
        faces.sort(key=lambda face: face.id)
        done = time.perf_counter()
        took = found_at - start, done - found_at
        yield Frame(index, seconds, image, tuple(faces), *took)


@contextlib.contextmanager
def writer(
    path: str | os.PathLike, size: tuple[int, int], rate: float
) -> Iterator[Callable[[Image.Image], None]]:
    """Opens an .mp4 file and gives the function that appends a frame to it.

    What was written so far is a whole file also when the work is interrupted.

    Args:
      path: Ends in .mp4.
      size: Width and height in pixels.
      rate: Frames per second.

    Raises:
      UserError: if it cannot be written.
    """
    cv2 = _opencv()
    code = cv2.VideoWriter.fourcc(*"mp4v")
    name, count = _named(path), 0
    with _silent(cv2):
        file = cv2.VideoWriter(name, code, rate, size)
    if not file.isOpened():
        raise UserError(f"{name} cannot be written as a video (.mp4)")

    def write(image: Image.Image) -> None:
        nonlocal count
        file.write(np.asarray(image)[..., ::-1])
        count += 1

    with _silent(cv2):  # it tells the log alone that the disk is full
        try:
            yield write
        finally:
            file.release()
        written = cv2.VideoCapture(name).get(cv2.CAP_PROP_FRAME_COUNT)
    if written < count:
        raise UserError(f"{name} could not be written to its end: is the disk full?")


def _named(path: str | os.PathLike) -> str:
    """A path as OpenCV takes it, which crashes where one is no text."""
    name = os.fspath(path)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UserError(f"{name}: OpenCV takes no such name, rename the file") from None
    return name


def _opencv() -> Any:
    # What FFmpeg says of a broken file is said once, by this package.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    return cv2


@contextlib.contextmanager
def _silent(cv2: Any) -> Iterator[None]:
    logs = cv2.utils.logging
    level = logs.setLogLevel(logs.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logs.setLogLevel(level)
