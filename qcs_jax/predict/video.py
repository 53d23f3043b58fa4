"""Every face of every frame of a video, and what it shows."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from qcs_jax.predict.align import Aligner
from qcs_jax.predict.answers import FaceFound
from qcs_jax.predict.camera import Camera
from qcs_jax.predict.drawing import draw_boxes
from qcs_jax.predict.prediction import Prediction
from qcs_jax.predict.tracking import Tracker
from qcs_jax.predict.video_file import VideoFile
from qcs_jax.system.errors import UserError


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
      seconds: When it is shown, as players count it: from the start of the file, which
        may begin with sound alone; never less than that of the frame before. For a
        camera, from its first frame on.
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
        self._source: Camera | VideoFile
        if isinstance(source, int):
            self._source = Camera(source)
        else:
            self._source = VideoFile(source)
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
