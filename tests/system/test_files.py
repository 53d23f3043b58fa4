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
    with pytest.raises(ZeroDivisionError), files.replacing(path) as unfinished:
        unfinished.write_text("[")
        raise ZeroDivisionError
    assert path.read_text() == "[\n 1\n]\n" and names(tmp_path) == ["a.json"]


def test_a_full_disk_names_the_file(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space left on device: '.*a.json'"):
        with files.replacing(tmp_path / "a.json"):
            raise full
    other = OSError(errno.EACCES, "Permission denied", "b.json")
    with pytest.raises(OSError, match="Permission denied: 'b.json'"):
        with files.replacing(tmp_path / "a.json"):
            raise other


def fill(folder, text):
    with files.new_folder(folder) as unfinished:
        (unfinished / "x").write_text(text)


def test_a_folder_is_replaced_whole(tmp_path):
    for text in ("old", "new"):
        fill(tmp_path / "out", text)
    assert (tmp_path / "out" / "x").read_text() == "new"
    assert names(tmp_path) == ["out"]


def test_a_folder_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    fill(tmp_path / "out", "old")
    rename = pathlib.Path.rename

    def failing(self, target):
        if (self / "x").read_text() == "new":
            raise OSError("disk full")
        return rename(self, target)

    monkeypatch.setattr(pathlib.Path, "rename", failing)
    with pytest.raises(OSError, match="disk full"):
        fill(tmp_path / "out", "new")
    assert (tmp_path / "out" / "x").read_text() == "old"
    assert names(tmp_path) == ["out"]
