"""Files and folders: whole, or what they were before."""

import errno
import pathlib

import pytest

from qcs_jax.system import files


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_error_leaves_the_file_that_was_there(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, [1])
    for error, message in (
        (ZeroDivisionError("oh"), "^oh$"),
        (OSError(errno.ENOSPC, "No space left"), "No space left: '.*a.json'"),
        (OSError(errno.EACCES, "Permission denied", "b.json"), "denied: 'b.json'"),
    ):
        with pytest.raises(type(error), match=message):
            with files.replacing(path) as unfinished:
                unfinished.write_text("[")
                raise error
    assert path.read_text() == "[\n 1\n]\n" and names(tmp_path) == ["a.json"]


def fill(folder, text):
    with files.new_folder(folder) as unfinished:
        (unfinished / "x").write_text(text)


def test_a_folder_is_replaced_and_stays_where_somebody_is(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    for text in ("old", "new"):
        fill(".", text)
        assert pathlib.Path("x").read_text() == text
        assert names(pathlib.Path()) == ["x"] and names(tmp_path) == ["out"]


def test_parents_are_gone_after_an_error(tmp_path):
    (tmp_path / "there").mkdir()
    for first in ("there", "a"):
        with pytest.raises(OSError, match="disk full"):
            with files.new_folder(tmp_path / first / "b" / "c"):
                raise OSError("disk full")
    assert [*tmp_path.rglob("*")] == [tmp_path / "there"]
    with pytest.raises(OSError, match="disk full"):
        with files.new_folder(tmp_path / "a" / "b" / "c"):
            (tmp_path / "a" / "x").touch()  # by somebody else
            raise OSError("disk full")
    assert [*(tmp_path / "a").iterdir()] == [tmp_path / "a" / "x"]


def test_a_folder_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    fill(tmp_path / "out", "old")
    rename = pathlib.Path.rename

    def failing(self, target):
        if self.is_file() and self.read_text() == "new":
            raise OSError("disk full")
        return rename(self, target)

    monkeypatch.setattr(pathlib.Path, "rename", failing)
    with pytest.raises(OSError, match="disk full"):
        fill(tmp_path / "out", "new")
    assert (tmp_path / "out" / "x").read_text() == "old"
    assert names(tmp_path) == ["out"]
