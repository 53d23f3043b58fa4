"""Every face of a photograph, and what it shows."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from qcs_jax.images.decode import to_pixels, upright
from qcs_jax.predict.align import Aligner
from qcs_jax.predict.detector import LANDMARKS
from qcs_jax.predict.drawing import draw_boxes
from qcs_jax.predict.faces import Face, path_of, read
from qcs_jax.predict.prediction import Failure, Prediction
from qcs_jax.system.errors import UserError


@dataclasses.dataclass(frozen=True, eq=False)
class FaceFound:
    """One face of a photograph.

    Attributes:
      prediction: What it shows.
      box: float64 `[4]`: left, top, right and bottom, in pixels of the photograph.
      landmarks: float64 `[4, 2]`: x and y of eyes, nose and mouth, see `Detection`;
        None if the detector did not see them.
      score: How sure the detector is that it is a face, 0.6 to 1, or None.
      pixels: uint8 `[resize, resize, 3]`, what the classifier was given.
    """

    prediction: Prediction
    box: np.ndarray
    landmarks: np.ndarray | None
    score: float | None
    pixels: np.ndarray

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
        """Returns all of it but the pixels as JSON has it; places to a tenth."""
        landmarks = None
        if self.landmarks is not None:
            points = self.landmarks.round(1).tolist()
            landmarks = dict(zip(LANDMARKS, points, strict=True))
        return {
            "box": self.box.round(1).tolist(),
            "landmarks": landmarks,
            "score": None if self.score is None else round(self.score, 4),
            "label": self.label,
            "probabilities": self.prediction.to_dict()["probabilities"],
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
      whole: Whether the image is a face already, cut out as the training images are,
        and was given to the network whole.
      path: Path of the file, or None if it was not a file.
    """

    image: Image.Image
    faces: tuple[FaceFound, ...]
    whole: bool = False
    path: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns file, size and faces as JSON has them."""
        width, height = self.image.size
        return {
            "file": self.path,
            "width": width,
            "height": height,
            "whole": self.whole,
            "faces": [face.to_dict() for face in self.faces],
        }

    def to_pandas(self) -> Any:
        """Returns a pandas.DataFrame with a row for each face; see `rows`."""
        from qcs_jax.predict.rows import to_pandas

        return to_pandas([self])

    def draw(self) -> Image.Image:
        """Returns a copy with a box around every face, and its label above."""
        texts = [f"{face.label} {100 * face.confidence:.0f} %" for face in self.faces]
        boxes = [face.box for face in self.faces]
        return draw_boxes(self.image, zip(boxes, texts, strict=True))

    def plot(self, axes: Any = None) -> Any:
        """Draws into matplotlib's axes, by default of a new figure; returns them.

        Raises:
          UserError: if matplotlib (the extra `report`) is missing.
        """
        if axes is None:
            try:
                from matplotlib import pyplot
            except ModuleNotFoundError as error:
                raise UserError(
                    'plots need matplotlib: pip install "qcs_jax[report]"'
                ) from error
            axes = pyplot.figure().add_subplot()
        axes.imshow(self.draw())
        axes.set_axis_off()
        return axes

    def save(self, path: str | os.PathLike) -> None:
        """Writes what `draw` returns; the suffix says in which format.

        Raises:
          OSError: if it cannot be written.
          ValueError: for a suffix that Pillow does not know.
        """
        self.draw().save(pathlib.Path(path))

    def __str__(self) -> str:
        what = self.path or "photograph"
        if self.whole:
            return f"{what}: {self.faces[0].prediction}, taken whole"
        return "\n".join(f"{what}: {face}" for face in self.faces) or f"{what}: no face"


def examine(
    photos: Iterable[Face | Failure],
    aligner: Aligner,
    side: int,
    classify: Callable[[list[np.ndarray]], Iterable[Prediction]],
) -> Iterator[Photograph | Failure]:
    """Finds the faces of photographs, one after another, and classifies them.

    An image that is a face already is taken whole; see `Aligner.is_crop`.

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
        whole = aligner.is_crop(image, found, side)
        if whole:
            crops = [to_pixels(image, side)]
        else:
            crops = [np.asarray(aligner.cut(image, face, side)) for face in found]
        if whole and not found:
            frame = np.array((0, 0, *image.size), np.float64)
            where: list[Any] = [(frame, None, None)]
        else:
            where = [(face.box, face.landmarks, face.score) for face in found]
        cut = zip(classify(crops), where, crops, strict=True)
        faces = tuple(
            FaceFound(prediction, box, landmarks, score, pixels)
            for prediction, (box, landmarks, score), pixels in cut
        )
        yield Photograph(image, faces, whole, path_of(photo))
