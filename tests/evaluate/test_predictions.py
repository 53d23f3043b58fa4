"""The file of predictions: exact, complete, and clear about what is none."""

import dataclasses

import numpy as np
import pytest

from qcs_jax.evaluate import predictions
from qcs_jax.evaluate.predictions import Predictions
from qcs_jax.system.errors import UserError

NAMES = ("calm", 'glad, "very"', "sad")


def test_what_is_written_is_read_exactly(tmp_path):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(len(NAMES)), 40).astype(np.float32)
    ids, labels = [f"test/ä {i},.jpg" for i in range(40)], rng.integers(0, 3, 40)
    path = tmp_path / predictions.PREDICTIONS_FILE
    half = np.array([[0.25, 0.75], [0.5, 0.5]])
    predictions.write(path, ["x.jpg", "y.jpg"], np.array([0, 1]), half, ["calm", "sad"])
    assert path.read_text().splitlines() == [
        "id,label,prediction,calm,sad",
        "x.jpg,calm,sad,0.25,0.75",
        "y.jpg,sad,calm,0.5,0.5",
    ]
    predictions.write(path, ids, labels, p, NAMES)
    found = predictions.read(path)
    assert found.ids == tuple(ids) and found.class_names == NAMES
    assert found.probabilities.dtype == np.float32
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.probabilities, p)
    np.testing.assert_array_equal(found.correct, p.argmax(1) == labels)
    with pytest.raises(ValueError):  # what cannot be completed leaves the old file
        predictions.write(path, ids[:-1], labels, p, NAMES)
    assert predictions.read(path).ids == tuple(ids)
    assert [file.name for file in tmp_path.iterdir()] == [predictions.PREDICTIONS_FILE]


HEADER = "id,label,prediction,calm,sad\n"


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "no CSV file"),
        (b"\x89PNG\r\n\xff\x00", "no CSV file"),
        ('id,label,"prediction\n', "no CSV file"),
        ("step,loss\n1,2\n", "its first line is not id,label,prediction,CLASS"),
        ("id,label,prediction\nx,a,a\n", "its first line"),
        ("id,label,prediction,a,a\nx,a,a,1,0\n", "its first line"),
        (HEADER, "no line but the first"),
        (HEADER + "x,calm,sad,0.2,0.8\ny,calm,sad,0.2\n", "line 3: 4 values, not 5"),
        (HEADER + "x,glad,sad,0.2,0.8\n", "'glad' is none of the classes calm, sad"),
        (HEADER + "x,calm,sad,0.2,much\n", "line 2: could not convert"),
        (HEADER + "x,calm,sad,0.2,nan\n", "probability is nan, not between 0 and 1"),
        (HEADER + "x,calm,sad,0.2,1.8\n", "is 1.8, not between 0 and 1"),
        (HEADER + "x,calm,calm,0.2,0.8\n", "'calm' is not the most probable"),
    ],
)
def test_a_file_of_something_else(content, message, tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message) as raised:
        predictions.read(path)
    assert "x.csv" in str(raised.value) and "qcs-jax evaluate" in str(raised.value)


def answers(correct, ids, names=("calm", "sad")):
    """Predictions about images of class "calm", right or wrong."""
    right = names.index("calm")
    p = np.eye(2, dtype=np.float32)[np.where(correct, right, 1 - right)]
    return Predictions(tuple(ids), np.full(len(ids), right), p, names)


def test_images_are_matched_by_id_and_classes_by_name():
    a = answers([True, True, False], "xyz")
    found = predictions.matched(
        a, answers([False, False, True], "zxy", ("sad", "calm"))
    )
    assert found.index.tolist() == [("x", "calm"), ("y", "calm"), ("z", "calm")]
    assert found["first"].tolist() == [True, True, False]
    assert found["second"].tolist() == [False, True, False]
    with pytest.raises(UserError, match="2 of 4 are in one file only, such as 'a'"):
        predictions.matched(a, answers(a.correct, "axy"))
    with pytest.raises(UserError, match="'x' occurs twice"):
        predictions.matched(a, answers(a.correct, "xxy"))
    other = dataclasses.replace(a, labels=np.array([0, 1, 0]))
    with pytest.raises(UserError, match="such as 'y' of 'calm'"):
        predictions.matched(a, other)
