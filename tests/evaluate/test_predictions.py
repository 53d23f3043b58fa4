"""The file of predictions: exact, whole, and clear about what is none."""

import numpy as np
import pytest

from qcs_jax.evaluate import predictions
from qcs_jax.system.errors import UserError

NAMES = ("calm", 'glad, "very"', "sad")


def random(count=40, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(len(NAMES)), count).astype(np.float32)
    ids = [f"test/ä {i},.jpg" for i in range(count)]
    return ids, rng.integers(0, len(NAMES), count), p


def test_what_is_written_is_read_exactly(tmp_path):
    ids, labels, p = random()
    path = tmp_path / predictions.PREDICTIONS_FILE
    predictions.write(path, ids, labels, p, NAMES)
    found = predictions.read(path)
    assert found.ids == tuple(ids)
    assert found.class_names == NAMES
    assert found.probabilities.dtype == np.float32
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.probabilities, p)
    np.testing.assert_array_equal(found.correct, p.argmax(1) == labels)
    assert [file.name for file in tmp_path.iterdir()] == [predictions.PREDICTIONS_FILE]


def test_the_file_reads_well(tmp_path):
    path = tmp_path / predictions.PREDICTIONS_FILE
    p = np.array([[0.25, 0.75], [0.5, 0.5]])
    predictions.write(path, ["x.jpg", "y.jpg"], np.array([0, 1]), p, ["calm", "sad"])
    assert path.read_text().splitlines() == [
        "id,label,prediction,calm,sad",
        "x.jpg,calm,sad,0.25,0.75",
        "y.jpg,sad,calm,0.5,0.5",
    ]


def test_a_file_that_cannot_be_completed_leaves_the_old_one(tmp_path):
    path = tmp_path / predictions.PREDICTIONS_FILE
    path.write_text("old")
    ids, labels, p = random()
    with pytest.raises(ValueError):
        predictions.write(path, ids[:-1], labels, p, NAMES)
    assert path.read_text() == "old"


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
def test_a_file_that_is_none(content, message, tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message) as raised:
        predictions.read(path)
    assert "x.csv" in str(raised.value) and "--mode=eval" in str(raised.value)
