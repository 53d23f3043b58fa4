"""Answers as rows of a table, for CSV files and pandas.

A row is a face, or a photograph or frame without any.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from qcs_jax.predict.answers import Photograph
from qcs_jax.predict.prediction import Failure, Prediction
from qcs_jax.predict.video import Frame

Answer = Prediction | Photograph | Frame | Failure

# Columns before those of the classes.
OF_CROPS = ("file", "label")
_PLACE = ("left", "top", "right", "bottom", "score", "label")
OF_PHOTOGRAPHS = ("file", "face", "taken", *_PLACE)
OF_FRAMES = ("frame", "seconds", "face", *_PLACE)

FACE, WHOLE = "face", "whole image"  # how a face was `taken` from its photograph
NO_FACE = "no face"


def header(columns: Sequence[str], class_names: Sequence[str]) -> list[str]:
    """Returns the names of all columns: the last one says why a row is empty."""
    return [*columns, *class_names, "error"]


def rows(answer: Answer, columns: Sequence[str], k: int) -> list[list]:
    """Returns the rows of an answer; those of k classes have k probabilities.

    A photograph or frame without a face has a row, whose error is "no face".
    """
    if isinstance(answer, Prediction):
        return [[answer.path, answer.label, *answer.probabilities, None]]
    found: list[list] = []
    if isinstance(answer, Frame):
        which: list = [answer.index, round(answer.seconds, 3)]
        found = [[face.id, *_cells(face)] for face in answer.faces]
    else:
        which = [answer.path]
    if isinstance(answer, Photograph):
        taken = WHOLE if answer.whole else FACE
        faces = enumerate(answer.faces, start=1)
        found = [[i, taken, *_cells(face)] for i, face in faces]
    if found:
        return [[*which, *cells, None] for cells in found]
    error = answer.error if isinstance(answer, Failure) else NO_FACE
    return [[*which, *[None] * (len(columns) - len(which) + k), error]]


def to_pandas(answers: Answer | Iterable[Answer]) -> Any:
    """Returns a pandas.DataFrame with the rows of `rows`.

    Args:
      answers: One, or several of one kind: from `Classifier.predict`,
        `predict_photos` or `predict_video`; there may be failures among them.

    Raises:
      ImportError: if pandas is not installed.
    """
    import pandas

    columns: Sequence[str] = OF_CROPS
    names: Sequence[str] = ()
    table: list[list] = []
    if isinstance(answers, Answer):
        answers = [answers]
    for answer in answers:  # one at a time: photographs are large
        if isinstance(answer, Photograph | Frame):
            columns = OF_FRAMES if isinstance(answer, Frame) else OF_PHOTOGRAPHS
        names = names or _class_names(answer)
        table += rows(answer, columns, len(names))
    heads = header(columns, names)
    # Rows without a face that came before the first one with a face are too short.
    table = [[*x[:-1], *[None] * (len(heads) - len(x)), x[-1]] for x in table]
    return pandas.DataFrame([[*map(_text, x)] for x in table], columns=heads)


def _text(cell: Any) -> Any:
    """Names of files need not be valid text; strings of pandas are."""
    return cell.encode(errors="replace").decode() if isinstance(cell, str) else cell


def _class_names(answer: Answer) -> Sequence[str]:
    """Which the first face tells."""
    if isinstance(answer, Prediction):
        return answer.class_names
    faces = () if isinstance(answer, Failure) else answer.faces
    return faces[0].prediction.class_names if faces else ()


def _cells(face: Any) -> list:
    """Of `_PLACE`, and the probabilities."""
    box = face.box.round(1)
    score = None if face.score is None else round(face.score, 4)
    return [*box, score, face.prediction.label, *face.prediction.probabilities]
