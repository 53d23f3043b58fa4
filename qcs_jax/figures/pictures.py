"""The pictures of the page, as data that travel inside it."""

from __future__ import annotations

import base64
import dataclasses
import io

import numpy as np
from PIL import Image

from qcs_jax.evaluate.counts import Counts
from qcs_jax.evaluate.predictions import Predictions
from qcs_jax.figures import Unavailable, groups, reliability, robustness, style
from qcs_jax.figures.gallery import Gallery
from qcs_jax.figures.paper import DRAW
from qcs_jax.figures.scene import Scene
from qcs_jax.predict.align import TEMPLATE

# Figures made of lines and text stay sharp as vectors; those with faces are pixels.
VECTORS = (
    *("losses", "confusion", "distribution", "embedding"),
    *("robustness", "reliability"),
)
RELIABILITY = {"reliability": "how often answers are right, by their confidence"}
OF_ROBUSTNESS = {
    "robustness": "accuracy on worse images, by what was done to them",
    "corruptions": "the first test image as it is, and at every severity",
}
DPI = 160
MISTAKES = 24  # faces shown
_FACE_SIDE = 96


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


def draw(scene: Scene) -> tuple[dict[str, str], dict[str, str]]:
    """Draws all figures that a run can have; says why the others are missing.

    Returns:
      Data URI by name, reason by name.
    """
    drawn, missing = {}, {}
    for name, figure_of in DRAW.items():
        kind, mime = ("svg", "svg+xml") if name in VECTORS else ("png", "png")
        try:
            drawn[name] = _uri(mime, style.encoded(figure_of(scene), kind, DPI))
        except Unavailable as error:
            missing[name] = str(error)
    return drawn, missing


def of_robustness(
    measured: dict, gallery: Gallery, first: str, landmarks: list | None
) -> dict[str, str]:
    """Draws accuracies on worse images, and such images.

    Args:
      measured: From `metrics.robustness.summary`.
      gallery: The test images.
      first: Name of the first.
      landmarks: Where landmarks are in them, see `corruptions.corrupt`.

    Returns:
      Data URI by name, those of `OF_ROBUSTNESS`.
    """
    (face,) = gallery.pixels([0])
    where = TEMPLATE if landmarks is None else np.array(landmarks)
    curves = robustness.curves(measured["accuracy"], measured["clean"])
    strip = robustness.strip(face, first, where)
    return {
        "robustness": _uri("svg+xml", style.encoded(curves, "svg", DPI)),
        "corruptions": _uri("png", style.encoded(strip, "png", DPI)),
    }


def of_groups(measured: dict, accuracy: float) -> dict[str, str]:
    """Draws the accuracy of groups.

    Args:
      measured: From `metrics.groups.summary`.
      accuracy: That of all images.

    Returns:
      Data URI by column, of those that have groups.
    """
    return {
        column["column"]: _uri(
            "svg+xml", style.encoded(groups.intervals(column, accuracy), "svg", DPI)
        )
        for column in measured["columns"]
        if column["groups"]
    }


def of_reliability(predicted: Predictions) -> dict[str, str]:
    """Draws how far confidence can be believed: a data URI, as in `RELIABILITY`."""
    tiny = np.finfo(np.float32).tiny
    log_p = np.log(np.maximum(predicted.probabilities, tiny))
    figure = reliability.diagram(Counts.of(log_p, predicted.labels).bins)
    return {"reliability": _uri("svg+xml", style.encoded(figure, "svg", DPI))}


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
    return _uri("jpeg", buffer.getvalue())


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
