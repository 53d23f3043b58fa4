"""The file of groups: in any order, with any names, and clear about what is none."""

import csv
import re

import pytest

from qcs_jax.evaluate import group_file
from qcs_jax.system.errors import UserError

IDS = ["test/0", 'a "b", c.jpg', "ä 2.jpg", "test/3"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "groups.csv"
    groups = ["female,4 to 19", "male,20 to 39", ",4 to 19", " female , "]
    rows = [[name, *x.split(",")] for name, x in zip(IDS, groups, strict=True)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "gender", "age"], *rows])
    return path


def reversed_lines(text):
    header, *lines = text.splitlines()
    return "\n".join([header, "", *reversed(lines)]) + "\n\n"


@pytest.mark.parametrize(
    "saved",
    [
        str,
        reversed_lines,
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),  # as on Windows
    ],
)
def test_groups_of_images_whatever_they_are_called(saved, file):
    text = file.read_bytes().decode().replace("\r\n", "\n")
    file.write_bytes(saved(text).encode())
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
    with pytest.raises(UserError) as raised:
        some.groupings(["x/1.jpg", "x/2.jpg"])
    for part in (str(file), "2 test images", "'x/1.jpg'", "'test/0'"):
        assert part in str(raised.value)


MANY = "".join(f"{i},person {i}\n" for i in range(51))


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "its first line, '', is not 'id' and columns"),
        (b"\x89PNG\r\n\xff\x00", "no CSV file"),
        ('id,gender\nx,"male\n', "no CSV file"),
        ("id\nx\n", "its first line, 'id', is not"),
        ("id;gender\nx;male\n", "its first line, 'id;gender', is not 'id' and"),
        ("name,gender\nx,male\n", "its first line, 'name,gender', is not"),
        ("id,gender\n", "no line but the first"),
        ("id,gender,\nx,male,a\n", "a name of its own"),
        ("id,gender,gender\nx,male,a\n", "a name of its own"),
        ("id,id\nx,male\n", "a name of its own"),
        ("id,gender\nx,male\ny,male,20\n", "line 3 has 3 values, not 2"),
        ("id,gender\nx,male\ny\n", "line 3 has 1 values, not 2"),
        ("id,gender\n,male\n", "line 2: there is no id"),
        ("id,gender\nx,male\ny,male\nx,male\n", "line 4: 'x' occurs twice"),
        ("id,person\n" + MANY, "column 'person' has 51 different values"),
    ],
)
def test_a_file_of_something_else(content, message, tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=re.escape(message)) as raised:
        group_file.read(path)
    error = str(raised.value)
    assert f"--groups={path}" in error and "id,COLUMN,..." in error
    assert "\n" not in error


def test_no_file_and_one_of_fifty_groups(tmp_path):
    path = tmp_path / "x.csv"
    for missing in (path, tmp_path):
        with pytest.raises(UserError, match="--groups=.*: .*. Give a CSV file"):
            group_file.read(missing)
    path.write_text("id,country\n" + MANY.rpartition("50,")[0])
    assert group_file.read(path).columns == ("country",)
