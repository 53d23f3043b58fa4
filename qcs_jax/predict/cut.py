"""What comes before the network, and after it: faces cut out of a photograph."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from qcs_jax.images.decode import to_pixels
from qcs_jax.predict.align import similarity, warp
from qcs_jax.predict.answers import FaceFound, Photograph, Prediction
from qcs_jax.predict.detector import Detection
from qcs_jax.predict.quality import lacks


@dataclasses.dataclass(frozen=True, eq=False)
class Cut:
    """A photograph whose faces wait for the network.

    Attributes:
      image: Upright RGB.
      crops: uint8 `[side, side, 3]` each, what the network takes.
      places: Of each, what `FaceFound` says of where it is.
      whole: Whether the image itself is the one crop.
      path: Path of the file, or None if it was not a file.
    """

    image: Image.Image
    crops: list[np.ndarray]
    places: list[dict[str, Any]]
    whole: bool = False
    path: str | None = None

    def faces(self, predictions: Sequence[Prediction]) -> list[FaceFound]:
        """The faces, by what the network says of each crop."""
        parts = zip(predictions, self.places, self.crops, strict=True)
        return [
            FaceFound(
                said.probabilities,
                said.class_names,
                **place,
                pixels=pixels,
                quality=lacks(place["box"], self.image.size, pixels),
            )
            for said, place, pixels in parts
        ]

    def photograph(self, predictions: Sequence[Prediction]) -> Photograph:
        """The answer, by what the network says of each crop."""
        return Photograph(
            self.image, tuple(self.faces(predictions)), self.whole, self.path
        )


def cut_out(
    image: Image.Image, detections: list[Detection], template: np.ndarray, side: int
) -> Cut:
    """Cuts faces out of upright RGB and brings their landmarks to a template."""
    turns = [similarity(face.landmarks, template * side) for face in detections]
    crops = [np.asarray(warp(image, x, side)) for x in turns]
    return Cut(image, crops, [vars(face) for face in detections])


def take_whole(
    image: Image.Image, detections: list[Detection], side: int, path: str | None
) -> Cut:
    """Takes an image for a face, cut out already; see `align.is_crop`."""
    frame = np.array((0, 0, *image.size), np.float64)
    places = [vars(face) for face in detections] or [{"box": frame}]
    return Cut(image, [to_pixels(image, side)], places, True, path)
