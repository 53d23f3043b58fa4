"""Every face of a photograph, and what it shows."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from qcs_jax.images.decode import upright
from qcs_jax.predict.align import Aligner
from qcs_jax.predict.detector import LANDMARKS, Detection
from qcs_jax.predict.faces import Face, path_of, read
from qcs_jax.predict.prediction import Failure, Prediction
from qcs_jax.system.errors import UserError

_COLOR, _INK = (0, 158, 115), (255, 255, 255)


@dataclasses.dataclass(frozen=True, eq=False)
class FaceFound:
    """One face of a photograph.

    Attributes:
      detection: Where it is.
      prediction: What it shows.
    """

    detection: Detection
    prediction: Prediction

    @property
    def box(self) -> np.ndarray:
        """float64 `[4]`: left, top, right and bottom, in pixels."""
        return self.detection.box

    @property
    def landmarks(self) -> np.ndarray:
        """float64 `[4, 2]`: x and y of eyes, nose and mouth, see `Detection`."""
        return self.detection.landmarks

    @property
    def score(self) -> float:
        """How sure the detector is that it is a face."""
        return self.detection.score

    @property
    def label(self) -> str:
        """Name of the most probable class."""
        return self.prediction.label

    @property
    def confidence(self) -> float:
        """Probability of the label."""
        return self.prediction.confidence

    @property
    def probabilities(self) -> np.ndarray:
        """float64 `[k]`; see `Prediction`."""
        return self.prediction.probabilities

    def to_dict(self) -> dict[str, Any]:
        """Returns all of it as JSON has it; pixels to a tenth."""
        points = zip(LANDMARKS, self.landmarks.round(1).tolist(), strict=True)
        names = self.prediction.class_names
        return {
            "box": self.box.round(1).tolist(),
            "landmarks": dict(points),
            "score": round(self.score, 4),
            "label": self.label,
            "probabilities": dict(zip(names, self.probabilities.tolist(), strict=True)),
        }

    def __str__(self) -> str:
        left, top, right, bottom = self.box.round().astype(int)
        return f"{self.prediction} at {left}, {top} to {right}, {bottom}"


@dataclasses.dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph and its faces.

    Attributes:
      image: Upright RGB, in whose pixels boxes and landmarks are.
      faces: The largest first; none where there is none.
      path: Path of the file, or None if it was not a file.
    """

    image: Image.Image
    faces: tuple[FaceFound, ...]
    path: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns path, size and faces as JSON has them."""
        width, height = self.image.size
        return {
            "path": self.path,
            "width": width,
            "height": height,
            "faces": [face.to_dict() for face in self.faces],
        }

    def draw(self) -> Image.Image:
        """Returns a copy with a box around every face, and its label above."""
        image = self.image.copy()
        pen = ImageDraw.Draw(image)
        width = max(2, round(max(image.size) / 300))
        for face in reversed(self.faces):  # the largest on top
            left, top, right, bottom = face.box.tolist()
            pen.rectangle((left, top, right, bottom), outline=_COLOR, width=width)
            text = f"{face.label} {100 * face.confidence:.0f} %"
            size = max(12, min(round((right - left) / 8), 48))
            spot = _inside(image.size, (left, top - 1.4 * size))
            box = pen.textbbox(spot, text, _font(size))
            pen.rectangle(
                (box[0] - width, box[1] - width, box[2] + width, box[3] + width),
                fill=_COLOR,
            )
            pen.text(spot, text, _INK, _font(size))
        return image

    def save(self, path: str | os.PathLike) -> None:
        """Writes what `draw` returns; the suffix says in which format.

        Raises:
          OSError: if it cannot be written.
          ValueError: for a suffix that Pillow does not know.
        """
        self.draw().save(pathlib.Path(path))

    def __str__(self) -> str:
        what = self.path or "photograph"
        if not self.faces:
            return f"{what}: no face"
        return "\n".join(f"{what}: {face}" for face in self.faces)


def examine(
    photos: Iterable[Face | Failure],
    aligner: Aligner,
    side: int,
    classify: Callable[[list[np.ndarray]], Iterable[Prediction]],
) -> Iterator[Photograph | Failure]:
    """Finds the faces of photographs, one after another, and classifies them.

    Args:
      photos: From `faces.expand`.
      aligner: Finds faces and cuts them out.
      side: Side of the cut faces in pixels.
      classify: Pixels of cut faces, uint8 `[side, side, 3]` each -> their predictions.

    Yields:
      A `Photograph` for each, or a `Failure` for what is not an image.
    """
    for photo in photos:
        if isinstance(photo, Failure):
            yield photo
            continue
        try:
            image = upright(read(photo))
        except (OSError, UserError) as error:
            yield Failure(str(error), path_of(photo))
            continue
        found = aligner.detect(image)
        crops = [np.asarray(aligner.cut(image, face, side)) for face in found]
        faces = map(FaceFound, found, classify(crops))
        yield Photograph(image, tuple(faces), path_of(photo))


@functools.cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _inside(size: tuple[int, int], spot: tuple[float, float]) -> tuple[float, float]:
    """A place for text that begins inside of the image."""
    x, y = (min(max(at, 0), 0.9 * side) for at, side in zip(spot, size, strict=True))
    return x, y
