"""The pictures of the page, as data that travel inside it."""

from __future__ import annotations

import base64
import dataclasses
import io

import numpy as np
from PIL import Image

from qcs_jax.metrics.predictions import Predictions
from qcs_jax.visualize import FIGURES, Unavailable, style
from qcs_jax.visualize.figures import DRAW
from qcs_jax.visualize.gallery import Gallery
from qcs_jax.visualize.scene import Scene

# Figures made of lines and text stay sharp as vectors; those with faces are pixels.
VECTORS = ("losses", "confusion", "distribution", "embedding")
DPI = 160
MISTAKES = 24  # faces shown
_FACE_SIDE = 96


@dataclasses.dataclass(frozen=True)
class Picture:
    """One figure of the page.

    Attributes:
      name: One of `visualize.FIGURES`.
      caption: What it shows.
      source: A data URI.
    """

    name: str
    caption: str
    source: str

    @property
    def is_vector(self) -> bool:
        return self.name in VECTORS


@dataclasses.dataclass(frozen=True)
class Mistake:
    """One face that was taken for something else.

    Attributes:
      name: Name of the image.
      label: Its class.
      prediction: What it was taken for.
      confidence: Probability of the prediction.
      source: A data URI.
    """

    name: str
    label: str
    prediction: str
    confidence: float
    source: str


def draw(scene: Scene) -> tuple[dict[str, Picture], dict[str, str]]:
    """Draws all figures that a run can have; says why the others are missing.

    Returns:
      Figure by name, reason by name.
    """
    drawn, missing = {}, {}
    for name, caption in FIGURES.items():
        try:
            figure = DRAW[name](scene)
        except Unavailable as error:
            missing[name] = str(error)
            continue
        kind = "svg" if name in VECTORS else "png"
        data = style.encoded(figure, kind, DPI)
        mime = "image/svg+xml" if kind == "svg" else "image/png"
        drawn[name] = Picture(name, caption, _uri(mime, data))
    return drawn, missing


def mistakes(predicted: Predictions, gallery: Gallery) -> list[Mistake]:
    """Finds the wrong answers that were given with most confidence, worst first.

    Args:
      predicted: Predictions for the gallery's images, in its order.
      gallery: Where the faces are.
    """
    wrong = np.flatnonzero(~predicted.correct)
    confidence = predicted.probabilities.max(axis=1)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    if not len(shown):
        return []
    names = predicted.class_names
    return [
        Mistake(
            predicted.ids[i],
            names[predicted.labels[i]],
            names[predicted.predicted[i]],
            float(confidence[i]),
            _face(pixels),
        )
        for i, pixels in zip(shown, gallery.pixels(shown.tolist()), strict=True)
    ]


def _face(pixels: np.ndarray) -> str:
    face = Image.fromarray(pixels)
    if face.width > _FACE_SIDE:
        face = face.resize((_FACE_SIDE, _FACE_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    face.save(buffer, "JPEG", quality=88)
    return _uri("image/jpeg", buffer.getvalue())


def _uri(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
