"""What a classifier answers, about faces, photographs and frames of a video.

Every answer can be printed, and be a row of a table: one for each face, and one for a
photograph or frame without any.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
from PIL import Image, ImageDraw

from qcs_jax.predict.detector import LANDMARKS
from qcs_jax.predict.quality import noted
from qcs_jax.system.errors import UserError

T = TypeVar("T")

NO_FACE = "no face"

_PLACE = ("left", "top", "right", "bottom", "score", "quality", "label")
_TEXTS, _WHOLE = ("file", "taken", "quality", "label"), ("face", "frame")
_BOX_COLOR, _TEXT_COLOR = (0, 158, 115), (255, 255, 255)


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """The answer for one face.

    Attributes:
      probabilities: float64 `[k]`, in the order of `class_names`; their sum is 1.
      class_names: k names.
      path: Path of the file, or None if the face was not a file.
    """

    COLUMNS: ClassVar = ("file", "label")  # before those of the classes

    probabilities: np.ndarray
    class_names: tuple[str, ...]
    path: str | None = None

    @property
    def label(self) -> str:
        """Name of the most probable class."""
        return self.class_names[self.probabilities.argmax()]

    @property
    def confidence(self) -> float:
        """Probability of the label."""
        return float(self.probabilities.max())

    def top(self, n: int) -> list[tuple[str, float]]:
        """Returns the n most probable classes with their probabilities, best first."""
        order = np.argsort(-self.probabilities, kind="stable")[:n]
        return [(self.class_names[i], float(self.probabilities[i])) for i in order]

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON has it."""
        p = dict(zip(self.class_names, self.probabilities.tolist(), strict=True))
        return {"file": self.path, "label": self.label, "probabilities": p}

    def __str__(self) -> str:
        return f"{self.label} ({self.confidence:.3f})"


@dataclasses.dataclass(frozen=True)
class Failure:
    """Stands, among several answers, for a face that could not be read."""

    error: str
    path: str | None = None  # of the file, if it was one

    def to_dict(self) -> dict[str, Any]:
        """Returns file and error as JSON has them."""
        return {"file": self.path, "error": self.error}

    def __str__(self) -> str:
        return self.error if self.path is None else f"{self.path}: {self.error}"


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class FaceFound(Prediction):
    """The answer for one face of a photograph, or of a frame.

    In a video the probabilities are smoothed over the frames before.

    Attributes:
      box: float64 `[4]`: left, top, right and bottom, in pixels of the photograph.
      landmarks: float64 `[4, 2]`: x and y of eyes, nose and mouth, see `Detection`;
        None if the detector did not see them.
      score: How sure the detector is that it is a face, 0.6 to 1, or None.
      pixels: uint8 `[resize, resize, 3]`, the input of the classifier.
      quality: What the image lacks to be sure of the answer, see `quality.lacks`: of
        "small", "cut off" and "dark"; empty where all is well.
      id: In videos 1, 2, ...: the same for the same face in all frames.
    """

    box: np.ndarray
    pixels: np.ndarray
    landmarks: np.ndarray | None = None
    score: float | None = None
    quality: tuple[str, ...] = ()
    id: int | None = None

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
            "quality": list(self.quality),
            "label": self.label,
            "probabilities": super().to_dict()["probabilities"],
        }

    def __str__(self) -> str:
        left, top, right, bottom = self.box.round().astype(int)
        place = f"{left}, {top} to {right}, {bottom}"
        return f"{super().__str__()} at {place}{noted(self.quality)}"

    def _cells(self) -> list:
        """Of `_PLACE`, and the probabilities."""
        place = self.to_dict()
        cells = [*place["box"], place["score"], ", ".join(self.quality), self.label]
        return [*cells, *self.probabilities]


@dataclasses.dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph and its faces.

    Attributes:
      image: Upright RGB, in whose pixels boxes and landmarks are.
      faces: The largest first; none where there is none.
      whole: Whether it is a face, cut out already, that went to the network whole.
      path: Path of the file, or None if it was not a file.
    """

    COLUMNS: ClassVar = ("file", "face", "taken", *_PLACE)

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

    def draw(self) -> Image.Image:
        """Returns a copy with a box around every face, and its label above."""
        return _draw(self.image, self.faces)

    def save(self, path: str | os.PathLike) -> None:
        """Writes what `draw` returns; the suffix says in which format."""
        self.draw().save(path)

    def __str__(self) -> str:
        what = self.path or "photograph"
        if self.whole:
            [face] = self.faces
            answer = Prediction.__str__(face)
            return f"{what}: {answer}, taken whole{noted(face.quality)}"
        return "\n".join(f"{what}: {face}" for face in self.faces) or f"{what}: no face"


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video and its faces.

    Attributes:
      index: Its number, from 0.
      seconds: When it is shown, from the start of the file, which may begin with sound
        alone, or from the first frame of a camera; it never goes back.
      image: RGB.
      faces: In the order of their ids; none turned by more than about 40 degrees.
    """

    COLUMNS: ClassVar = ("frame", "seconds", "face", *_PLACE)

    index: int
    seconds: float
    image: Image.Image
    faces: tuple[FaceFound, ...]

    def draw(self) -> Image.Image:
        """Returns a copy with a box around every face, and its id and label above."""
        return _draw(self.image, self.faces)


Answer = Prediction | Photograph | Frame | Failure


def successes(answers: Iterable[T | Failure]) -> list[T]:
    """All of them; raises UserError for the first failure."""
    every = []
    for answer in answers:
        if isinstance(answer, Failure):
            raise UserError(str(answer))
        every.append(answer)
    return every


def rows(answer: Answer, columns: int) -> list[list]:
    """Returns the rows of an answer in a table of so many columns.

    They are its `COLUMNS`, those of the classes, and "error", why a row is empty. A
    photograph or frame without a face has a row, whose error is "no face".
    """
    source: list = [getattr(answer, "path", None)]
    error, faces = NO_FACE, []
    if isinstance(answer, Prediction):
        faces = [[answer.label, *answer.probabilities]]
    elif isinstance(answer, Photograph):
        taken = "whole image" if answer.whole else "face"
        faces = [[i, taken, *x._cells()] for i, x in enumerate(answer.faces, start=1)]
    elif isinstance(answer, Frame):
        source = [answer.index, round(answer.seconds, 3)]
        faces = [[x.id, *x._cells()] for x in answer.faces]
    else:
        error = answer.error
    if faces:
        return [[*source, *face, None] for face in faces]
    return [_fill([*source, error], columns)]


def to_pandas(
    answers: Answer | Iterable[Answer], class_names: Sequence[str] | None = None
) -> Any:
    """Returns a pandas.DataFrame with the rows of `rows`.

    Takes one answer, or several of one kind, from `Classifier.predict`,
    `predict_photos` or `predict_video`; there may be failures among them. The type of a
    column follows from what it is: text, whole numbers (nullable), or float64.

    Args:
      class_names: For the table of a part of many photographs: the names of the
        classifier. It has all columns then, also where no photograph has a face, or
        none is an image.
    """
    import pandas

    columns = Prediction.COLUMNS if class_names is None else Photograph.COLUMNS
    class_names = class_names or ()
    table: list[list] = []
    for answer in [answers] if isinstance(answers, Answer) else answers:
        columns = getattr(answer, "COLUMNS", columns)
        for face in getattr(answer, "faces", [answer]):
            class_names = getattr(face, "class_names", class_names)
        table += rows(answer, 0)
    heads = [*columns, *class_names, "error"]
    kinds = dict.fromkeys(_TEXTS, "str") | dict.fromkeys(_WHOLE, "Int64")
    types = [kinds.get(head, "float64") for head in columns]
    types += [*["float64"] * len(class_names), "str"]
    table = [[*map(_valid, _fill(row, len(heads)))] for row in table]
    # Two columns may have one name.
    cells = {
        i: pandas.Series([row[i] for row in table], dtype=kind)
        for i, kind in enumerate(types)
    }
    return pandas.DataFrame(cells).set_axis(heads, axis="columns")


def _fill(row: list, columns: int) -> list:
    """Puts empty cells before the last one, the error."""
    return [*row[:-1], *[None] * (columns - len(row)), row[-1]]


def _valid(cell: Any) -> Any:
    """Names of files need not be valid text; strings of pandas are."""
    return cell.encode(errors="replace").decode() if isinstance(cell, str) else cell


def _draw(image: Image.Image, faces: Sequence[FaceFound]) -> Image.Image:
    """A copy with boxes and labels; those of the first face lie on top."""
    image = image.copy()
    pen = ImageDraw.Draw(image)
    width = max(2, round(max(image.size) / 300))
    for face in reversed(faces):
        left, top, right, bottom = face.box.tolist()
        pen.rectangle((left, top, right, bottom), outline=_BOX_COLOR, width=width)
        text = f"{face.label} {100 * face.confidence:.0f} %{noted(face.quality)}"
        text = text if face.id is None else f"{face.id}: {text}"
        size = max(12, min(round((right - left) / 8), 48))
        # The text begins inside of the image.
        x = min(max(left, 0), 0.9 * image.width)
        y = min(max(top - 1.4 * size, 0), 0.9 * image.height)
        ground = np.array(pen.textbbox((x, y), text, font_size=size))
        ground += width * np.array((-1, -1, 1, 1))
        pen.rectangle(tuple(ground), fill=_BOX_COLOR)
        pen.text((x, y), text, _TEXT_COLOR, font_size=size)
    return image
