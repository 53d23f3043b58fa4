"""Finds the faces of a photograph, with BlazeFace (Bazarevsky et al., 2019).

Its full-range network comes with the package; OpenCV runs it. It sees 192 x 192 pixels
and finds faces that are 6 to 60 % as wide as what it sees. Larger and smaller ones are
found by looking again, at the photograph with a margin, and at parts of it.
"""

from __future__ import annotations

import dataclasses
import pathlib
import threading
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from PIL import Image

MODEL = pathlib.Path(__file__).parents[1] / "pretrained/face_detector.onnx"
LANDMARKS = ("left eye", "right eye", "tip of the nose", "centre of the mouth")

_SIDE = 192  # of what the network sees, in pixels
_CELLS = 48  # it answers for each cell of a grid of so many rows
_OUTPUTS = ("reshaped_classifier_face_4", "reshaped_regressor_face_4")

_CONFIDENCE = 0.6
_SAME = 0.3  # boxes that overlap by so much (IoU) are of one face
_LEAST = 2 * _SIDE  # parts smaller than this show nothing that all of it does not
# In how many sides of its box a face is looked at again. The mean of three looks moves
# half as much as one where a photograph is cropped, or a little larger; videos have no
# time for it, and are smoothed.
_CLOSE = (2.0, 2.5, 3.0)
_CLOSE_ONCE = (2.5,)
_STEPS = 64  # of a landmark in a pixel: no two runtimes share its last digits
_MARGIN = 0.5  # of a photograph, on each side, for the faces that fill it

# Where no face stands upright beyond doubt (one that lies looks a little like it), the
# photograph is turned. What is no face looks like one more often then: three of seven
# photographs without a face, each turned seven times, had scores of 0.61 to 0.72; faces
# that were turned had 0.8 and more.
_TURNS = (45, 90, 135, 180, 225, 270, 315)  # degrees
_CONFIDENCE_TURNED = 0.77


@dataclasses.dataclass(frozen=True, eq=False)
class Detection:
    """One face of a photograph.

    Attributes:
      box: float64 `[4]`: left, top, right and bottom, in pixels, also beyond the edge.
      landmarks: float64 `[4, 2]`: x and y in pixels of `LANDMARKS`, left and right as
        seen when the face stands upright.
      score: Confidence, 0.6 to 1.
    """

    box: np.ndarray
    landmarks: np.ndarray
    score: float

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        return float(np.prod(self.box[2:] - self.box[:2]))


class Detector(Protocol):
    """Finds faces; may be called by several threads.

    A classifier is pickled with its detector, so other processes need one that can be.
    """

    def __call__(self, image: Image.Image) -> list[Detection]:
        """Finds all faces of an upright RGB image; the largest comes first."""

    def upright(self, image: Image.Image) -> list[Detection]:
        """Finds the faces that stand upright, as in a video, and takes less time."""


class BlazeFace:
    """The `Detector` that comes with the package."""

    def __init__(self) -> None:
        import cv2  # takes a while, and crops of faces do without

        # As bytes: OpenCV takes no path with letters that Windows' code page lacks.
        self._network = cv2.dnn.readNetFromONNX(np.fromfile(MODEL, np.uint8))
        self._lock = threading.Lock()  # a network keeps state while it runs

    def __reduce__(self) -> tuple:
        return BlazeFace, ()

    def __call__(self, image: Image.Image) -> list[Detection]:
        """Finds all faces of an upright RGB image; the largest comes first.

        Faces that are turned by more than about 40 degrees are found only where none
        stands upright, and only those that are turned alike.
        """
        degrees, faces = 0, self._faces(image)
        if _best(faces) < _CONFIDENCE_TURNED:
            turns = {0: faces} | {turn: self._turned(image, turn) for turn in _TURNS}
            degrees, faces = max(turns.items(), key=lambda turn: _best(turn[1]))
        turned = _turn(image, degrees)
        closer = [self._closer(turned, face, _CLOSE) for face in faces]
        faces = [_turned_back(face, image, degrees) for face in closer]
        return sorted(faces, key=lambda face: -face.area)

    def upright(self, image: Image.Image) -> list[Detection]:
        """Finds the faces that stand upright, in any order; see `__call__`."""
        return [self._closer(image, face, _CLOSE_ONCE) for face in self._faces(image)]

    def _turned(self, image: Image.Image, degrees: int) -> list[Detection]:
        # Not in small parts, which would take eight times as long once more.
        faces = self._faces(_turn(image, degrees), max(image.size) / 2)
        return [face for face in faces if face.score >= _CONFIDENCE_TURNED]

    def _faces(self, image: Image.Image, least: float = 0) -> list[Detection]:
        faces = [
            face
            for part, cut in _parts(*image.size, max(least, _LEAST))
            for face in self._look(image, part)
            # The part beside it shows all of a face that this one cuts.
            if not (cut and _touches(face, part, image.size))
        ]
        # The most certain of all that overlap, and so on.
        kept: list[Detection] = []
        for face in sorted(faces, key=lambda face: -face.score):
            if all(overlap(face.box, other.box) < _SAME for other in kept):
                kept.append(face)
        return kept

    def _closer(
        self, image: Image.Image, face: Detection, sides: Sequence[float]
    ) -> Detection:
        """The same face, once more where it is large: the mean of all looks."""
        center = (face.box[:2] + face.box[2:]) / 2
        looks = []
        for side in np.multiply(sides, max(face.box[2:] - face.box[:2])):
            # Whole pixels: the last digits of the box, which no two runtimes share,
            # would change levels of what is cut out, and by them the landmarks.
            part = (*np.round(center - side / 2), np.round(side))
            again = self._look(image, part)
            same = [x for x in again if overlap(x.box, face.box) > _SAME]
            looks += sorted(same, key=lambda x: -x.score)[:1]
        if not looks:
            return face
        box = np.mean([x.box for x in looks], axis=0)
        landmarks = np.mean([x.landmarks for x in looks], axis=0)
        return Detection(box, np.round(landmarks * _STEPS) / _STEPS, face.score)

    def _look(
        self, image: Image.Image, part: tuple[float, float, float]
    ) -> list[Detection]:
        """Finds the faces of a square: left, top and side in pixels."""
        left, top, side = part
        pixels = np.asarray(_cut(image, left, top, side), np.float32) / 127.5 - 1
        with self._lock:
            self._network.setInput(pixels[None])
            scores, boxes = self._network.forward(_OUTPUTS)
        scores = 1 / (1 + np.exp(-scores[0, :, 0].clip(-80, 80)))
        sure = np.flatnonzero(scores >= _CONFIDENCE)
        # A row: centre, size, and six points, relative to the centre of the cell but
        # for the size: eyes, nose, mouth, ears.
        rows = boxes[0, sure].reshape(-1, 8, 2).astype(np.float64)
        cells = np.stack([sure % _CELLS, sure // _CELLS], axis=-1) + 0.5
        rows[:, [0, *range(2, 8)]] += cells[:, None] * (_SIDE / _CELLS)
        rows *= side / _SIDE
        offset = np.array((left, top))
        return [
            Detection(
                np.concatenate([c - size / 2, c + size / 2]) + np.tile(offset, 2),
                points[: len(LANDMARKS)] + offset,
                float(score),
            )
            for (c, size, *points), score in zip(rows, scores[sure], strict=True)
        ]


def _best(faces: list[Detection]) -> float:
    return max((face.score for face in faces), default=0.0)


def _parts(
    width: int, height: int, least: float
) -> Iterator[tuple[tuple[float, float, float], bool]]:
    """Squares to look at, left, top and side; and whether they cut the photograph.

    All of it with and without a margin, then halves, quarters, ... of its longer side.
    """
    side = float(max(width, height))
    center = np.array((width, height)) / 2
    for factor in (1.0, 1 + 2 * _MARGIN):
        yield (*(center - side * factor / 2), side * factor), False
    while (side := side / 2) >= least:
        for top in _starts(height, side):
            for left in _starts(width, side):
                yield (left, top, side), True


def _starts(length: int, side: float) -> Sequence[float]:
    """Where squares begin that cover a length, overlapping by half or more."""
    if length <= side:
        return [(length - side) / 2]
    return np.linspace(0, length - side, int(np.ceil(2 * length / side)) - 1).tolist()


def _cut(image: Image.Image, left: float, top: float, side: float) -> Image.Image:
    """A square of a photograph in the network's size; black where there is none."""
    box = np.array((left, top, left + side, top + side))
    inside = np.clip(box, 0, np.tile(image.size, 2))
    place = np.round((inside - np.tile(box[:2], 2)) * (_SIDE / side)).astype(int)
    size = np.maximum(place[2:] - place[:2], 1)
    canvas = Image.new("RGB", (_SIDE, _SIDE))
    part = image.resize(tuple(size), Image.Resampling.BILINEAR, tuple(inside))
    canvas.paste(part, tuple(place[:2]))
    return canvas


def _touches(
    face: Detection, part: tuple[float, float, float], size: tuple[int, int]
) -> bool:
    """Whether a face reaches a border of a part that the photograph goes on behind."""
    low, high = np.array(part[:2]), np.array(part[:2]) + part[2]
    cut_low = (low > 0.5) & (face.box[:2] <= low)
    cut_high = (high < np.array(size) - 0.5) & (face.box[2:] >= high)
    return bool((cut_low | cut_high).any())


def overlap(box: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes, 0 to 1."""
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    both = float(np.prod(np.maximum(sides, 0)))
    areas = sum(float(np.prod(x[2:] - x[:2])) for x in (box, other))
    return both / (areas - both) if both else 0.0


def _turn(image: Image.Image, degrees: int) -> Image.Image:
    return image.rotate(degrees, Image.Resampling.BILINEAR, expand=True)


def _turned_back(face: Detection, image: Image.Image, degrees: int) -> Detection:
    """A face of `_turn(image, degrees)` as it lies in `image`.

    The box is the upright one around the ellipse that filled the turned box: a face has
    no corners.
    """
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    c, s = abs(cos), abs(sin)
    w, h = image.size
    turned_center = np.array((w * c + h * s, w * s + h * c)) / 2
    turn = np.array([(cos, -sin), (sin, cos)])

    def back(points: np.ndarray) -> np.ndarray:
        return (points - turned_center) @ turn.T + np.array((w, h)) / 2

    center = back((face.box[:2] + face.box[2:]) / 2)
    width, height = face.box[2:] - face.box[:2]
    half = np.hypot((width * c, width * s), (height * s, height * c)) / 2
    box = np.concatenate([center - half, center + half])
    return Detection(box, back(face.landmarks), face.score)
