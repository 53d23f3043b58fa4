"""Answers as tables: the same cells as the answers, whatever kind they are."""

import numpy as np
import pytest
from PIL import Image

import qcs_jax
from qcs_jax.predict.answers import FaceFound, Photograph
from qcs_jax.predict.prediction import Failure, Prediction
from qcs_jax.predict.rows import OF_CROPS, OF_FRAMES, OF_PHOTOGRAPHS, header, rows
from qcs_jax.predict.video import FaceTracked, Frame

NAMES = ("joy", "error")  # a class may be called like a column
P = np.array((0.25, 0.75))
IMAGE = Image.new("RGB", (40, 30))
PLACE = np.array((1.0, 2.0, 11.04, 12.0))
FOUND = (Prediction.of(P, NAMES), PLACE, None, 0.91234, np.zeros((4, 4, 3), np.uint8))
CELLS = [1.0, 2.0, 11.0, 12.0, 0.9123, "error", 0.25, 0.75]


def test_crops():
    crop = Prediction.of(P, NAMES, "a.jpg")
    assert header(OF_CROPS, NAMES) == ["file", "label", "joy", "error", "error"]
    assert rows(crop, OF_CROPS, 2) == [["a.jpg", "error", 0.25, 0.75, None]]
    failed = rows(Failure("broken", "b.jpg"), OF_CROPS, 2)
    assert failed == [["b.jpg", None, None, None, "broken"]]


def test_photographs():
    two = Photograph(IMAGE, (FaceFound(*FOUND),) * 2, path="a.jpg")
    assert rows(two, OF_PHOTOGRAPHS, 2) == [
        ["a.jpg", 1, "face", *CELLS, None],
        ["a.jpg", 2, "face", *CELLS, None],
    ]
    thumbnail = FaceFound(*FOUND[:3], None, FOUND[4])
    whole = Photograph(IMAGE, (thumbnail,), whole=True, path="b.jpg")
    [row] = rows(whole, OF_PHOTOGRAPHS, 2)
    assert row[:3] == ["b.jpg", 1, "whole image"] and row[7] is None
    empty = Photograph(IMAGE, (), path="c.jpg")
    for answer, why in ((empty, "no face"), (Failure("broken", "c.jpg"), "broken")):
        [row] = rows(answer, OF_PHOTOGRAPHS, 2)
        assert len(row) == len(header(OF_PHOTOGRAPHS, NAMES))
        assert row[0] == "c.jpg" and row[-1] == why and not any(row[1:-1])


def test_frames():
    frame = Frame(7, 0.28000001, IMAGE, (FaceTracked(*FOUND, 3),), 0.1, 0.1)
    assert rows(frame, OF_FRAMES, 2) == [[7, 0.28, 3, *CELLS, None]]
    [empty] = rows(Frame(8, 0.32, IMAGE, (), 0.1, 0.1), OF_FRAMES, 2)
    assert empty == [8, 0.32, *[None] * 9, "no face"]
    assert len(empty) == len(header(OF_FRAMES, NAMES))


def test_pandas():
    pandas = pytest.importorskip("pandas")
    photos = [
        Photograph(IMAGE, (), path="a.jpg"),
        Failure("broken", "b.jpg"),
        Photograph(IMAGE, (FaceFound(*FOUND),) * 2, path="c.jpg"),
    ]
    table = qcs_jax.to_pandas(photos)
    assert list(table.columns) == header(OF_PHOTOGRAPHS, NAMES)
    assert table["file"].tolist() == ["a.jpg", "b.jpg", "c.jpg", "c.jpg"]
    assert table["joy"].dropna().tolist() == [0.25, 0.25]
    pandas.testing.assert_frame_equal(
        photos[2].to_pandas(), qcs_jax.to_pandas(photos[2:])
    )
    frames = [Frame(i, 0.04 * i, IMAGE, (), 0.1, 0.1) for i in range(3)]
    table = qcs_jax.to_pandas(frames)
    assert list(table.columns) == header(OF_FRAMES, ())
    assert table["seconds"].tolist() == [0, 0.04, 0.08]
    seen = Frame(3, 0.12, IMAGE, (FaceTracked(*FOUND, 1),), 0.1, 0.1)
    table = qcs_jax.to_pandas([*frames, seen])
    assert table["error"].iloc[:, -1].tolist()[:3] == ["no face"] * 3
    assert table["face"].isna().tolist() == [True, True, True, False]
    assert qcs_jax.to_pandas(Prediction.of(P, NAMES) for _ in range(3)).shape == (3, 5)
    [*_, name] = qcs_jax.to_pandas(Failure("broken", "\udcff.jpg"))["file"]
    assert name == "?.jpg"
