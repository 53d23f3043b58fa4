"""Files of predictions and of groups: exact, complete, and clear about what is none."""

import csv
import dataclasses
import re

import numpy as np
import pytest

from qcs_jax.evaluate import group_file, predictions
from qcs_jax.evaluate.predictions import Predictions
from qcs_jax.system.errors import UserError

NAMES = ("calm", 'glad, "very"', "sad")
IDS = ["test/0", 'a "b", c.jpg', "ä 2.jpg", "test/3"]


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
MANY = "".join(f"{i},person {i}\n" for i in range(51))
OTHERS = {
    predictions.read: [
        ("", "no CSV file"),
        (b"\x89PNG\r\n\xff\x00", "no CSV file"),
        ('id,label,"prediction\n', "no CSV file"),
        ("step,loss\n1,2\n", "its first line is not id,label,prediction,CLASS"),
        ("id,label,prediction,a,a\nx,a,a,1,0\n", "its first line"),
        (HEADER, "no line but the first"),
        (HEADER + "x,calm,sad,0.2,0.8\ny,calm,sad,0.2\n", "line 3: 4 values, not 5"),
        (HEADER + "x,glad,sad,0.2,0.8\n", "'glad' is none of the classes calm, sad"),
        (HEADER + "x,calm,sad,0.2,much\n", "line 2: could not convert"),
        (HEADER + "x,calm,sad,0.2,nan\n", "probability is nan, not between 0 and 1"),
        (HEADER + "x,calm,calm,0.2,0.8\n", "'calm' is not the most probable"),
    ],
    group_file.read: [
        ("", "its first line, '', is not 'id' and columns"),
        (b"\x89PNG\r\n\xff\x00", "no CSV file"),
        ('id,gender\nx,"male\n', "no CSV file"),
        ("id;gender\nx;male\n", "its first line, 'id;gender', is not 'id' and"),
        ("id,gender\n", "no line but the first"),
        ("id,gender,\nx,male,a\n", "a name of its own"),
        ("id,gender,gender\nx,male,a\n", "a name of its own"),
        ("id,gender\nx,male\ny\n", "line 3 has 1 values, not 2"),
        ("id,gender\n,male\n", "line 2: there is no id"),
        ("id,gender\nx,male\ny,male\nx,male\n", "line 4: 'x' occurs twice"),
        ("id,person\n" + MANY, "column 'person' has 51 different values"),
    ],
}


@pytest.mark.parametrize(
    "read, content, message", [(read, *row) for read in OTHERS for row in OTHERS[read]]
)
def test_a_file_of_something_else(read, content, message, tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=re.escape(message)) as raised:
        read(path)
    error = str(raised.value)
    of_groups = f"--groups={path}" in error and "id,COLUMN,..." in error
    assert of_groups or (str(path) in error and "which qcs-jax evaluate" in error)
    assert "\n" not in error


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="--groups=.*: .*. Give a CSV file"):
        group_file.read(tmp_path / "x.csv")


def answers(correct, ids, names=("calm", "sad")):
    """Predictions about images of class "calm", right or wrong."""
    right = names.index("calm")
    p = np.eye(2, dtype=np.float32)[np.where(correct, right, 1 - right)]
    return Predictions(tuple(ids), np.full(len(ids), right), p, names)


def test_images_are_matched_by_id_and_classes_by_name():
    a = answers([True, True, False], "xyz")
    other = answers([False, False, True], "zxy", ("sad", "calm"))
    found = predictions.matched(a, other)
    assert found.index.tolist() == [("x", "calm"), ("y", "calm"), ("z", "calm")]
    assert found["first"].tolist() == [True, True, False]
    assert found["second"].tolist() == [False, True, False]
    for other, message in (
        (answers(a.correct, "axy"), "2 of 4 are in one file only, such as 'a'"),
        (answers(a.correct, "xxy"), "'x' occurs twice"),
        (dataclasses.replace(a, labels=np.array([0, 1, 0])), "such as 'y' of 'calm'"),
    ):
        with pytest.raises(UserError, match=message):
            predictions.matched(a, other)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "groups.csv"
    groups = ["female,4 to 19", "male,20 to 39", ",4 to 19", " female , "]
    rows = [[name, *x.split(",")] for name, x in zip(IDS, groups, strict=True)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "gender", "age"], *rows])
    return path


def test_groups_of_images_whatever_they_are_called(file):
    text = file.read_bytes().decode().replace("\r\n", "\n")
    header, *lines = text.splitlines()
    for same in (
        text,
        "\n".join([header, "", *reversed(lines)]) + "\n\n",
        "\ufeff" + text.replace("\n", "\r\n"),  # as on Windows
    ):
        file.write_bytes(same.encode())
        gender, age = group_file.read(file).groupings(IDS)
        assert (gender.column, gender.names) == ("gender", ("female", "male"))
        assert gender.members.tolist() == [0, 1, -1, 0]
        assert age.names == ("4 to 19", "20 to 39")  # not as texts are sorted
        assert age.members.tolist() == [0, 1, 0, -1]
        assert group_file.read(file).notes(IDS) == []


def test_images_that_one_side_lacks_are_counted(file):
    some = group_file.read(file)
    images = ["test/3", "new", "test/0", "newer"]
    assert some.groupings(images)[0].members.tolist() == [0, -1, 0, -1]
    lacks, more = some.notes(images)
    assert "lacks 2 of 4 test images" in lacks
    assert "has 2 images that are not in the test" in more
    message = "none of the 2 test images: they are called 'x/1.jpg' .*'test/0'"
    with pytest.raises(UserError, match=message):
        some.groupings(["x/1.jpg", "x/2.jpg"])
