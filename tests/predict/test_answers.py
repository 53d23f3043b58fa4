"""Answers as rows of tables: the same cells, whatever kind they are."""

import numpy as np
import pytest
from PIL import Image

import qcs_jax
from qcs_jax.predict.answers import (
    FaceFound,
    Failure,
    Frame,
    Photograph,
    Prediction,
    header,
    rows,
)

NAMES = ("joy", "error")  # a class may be called like a column
P = np.array((0.25, 0.75))
IMAGE = Image.new("RGB", (40, 30))
CELLS = [1.0, 2.0, 11.0, 12.0, 0.9123, "error", 0.25, 0.75]


def face(score=0.91234, id=None):
    box, pixels = np.array((1.0, 2.0, 11.04, 12.0)), np.zeros((4, 4, 3), np.uint8)
    return FaceFound(
        P, NAMES, box=box, landmarks=None, score=score, pixels=pixels, id=id
    )


def test_photographs():
    columns = len(header(Photograph.COLUMNS, NAMES))
    assert rows(Photograph(IMAGE, (face(), face()), path="a.jpg"), columns) == [
        ["a.jpg", 1, "face", *CELLS, None],
        ["a.jpg", 2, "face", *CELLS, None],
    ]
    whole = Photograph(IMAGE, (face(score=None),), whole=True, path="b.jpg")
    [row] = rows(whole, columns)
    assert row[:3] == ["b.jpg", 1, "whole image"] and row[7] is None
    empty = Photograph(IMAGE, (), path="c.jpg")
    for answer, why in ((empty, "no face"), (Failure("broken", "c.jpg"), "broken")):
        assert rows(answer, columns) == [["c.jpg", *[None] * (columns - 2), why]]


def test_pandas():
    pandas = pytest.importorskip("pandas")
    photos = [
        Photograph(IMAGE, (), path="a.jpg"),
        Photograph(IMAGE, (face(), face()), path="c.jpg"),
        Failure("broken", "b.jpg"),
    ]
    table = qcs_jax.to_pandas(photos)
    assert list(table.columns) == header(Photograph.COLUMNS, NAMES)
    assert table["file"].tolist() == ["a.jpg", "c.jpg", "c.jpg", "b.jpg"]
    assert table["joy"].dropna().tolist() == [0.25, 0.25]
    pandas.testing.assert_frame_equal(
        photos[1].to_pandas(), qcs_jax.to_pandas(photos[1:2])
    )
    frames = [Frame(i, 0.04 * i, IMAGE, (), 0.1, 0.1) for i in range(3)]
    assert list(qcs_jax.to_pandas(frames).columns) == header(Frame.COLUMNS, ())
    frames.append(Frame(3, 0.12, IMAGE, (face(id=1),), 0.1, 0.1))
    table = qcs_jax.to_pandas(frames)
    assert table["seconds"].tolist() == [0, 0.04, 0.08, 0.12]
    assert table["error"].iloc[:, -1].tolist()[:3] == ["no face"] * 3
    assert table["face"].isna().tolist() == [True, True, True, False]
    assert qcs_jax.to_pandas(Prediction(P, NAMES) for _ in range(3)).shape == (3, 5)
    [*_, name] = qcs_jax.to_pandas(Failure("broken", "\udcff.jpg"))["file"]
    assert name == "?.jpg"
