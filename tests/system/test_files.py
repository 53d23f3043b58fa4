"""Files and folders: whole, or what they were before; and of one process."""

import errno
import os
import pathlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import filelock
import pytest

from qcs_jax.system import files
from qcs_jax.system.errors import UserError


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


HOLDING = """
import pathlib, sys, time
from qcs_jax.system import files
with files.exclusive(pathlib.Path(sys.argv[1]), "taken"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    argv = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="^taken$"):
            with files.exclusive(tmp_path, "taken"):
                pytest.fail("two hold it")
        process.kill()
    with files.exclusive(tmp_path, "taken"):
        pass


def test_a_lock_is_for_one_thread(tmp_path):
    def enter():
        with files.exclusive(tmp_path, "taken"):
            pytest.fail("two hold it")

    with files.exclusive(tmp_path, "taken"), ThreadPoolExecutor(1) as pool:
        with pytest.raises(UserError, match="^taken$"):
            pool.submit(enter).result()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_does_not_matter(tmp_path, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    fcntl = pytest.importorskip("fcntl", reason="Windows has other locks")
    monkeypatch.setattr(fcntl, "flock", flock)
    for _ in range(2):
        with files.exclusive(tmp_path, "taken"):
            assert names(tmp_path) == [".lock"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC, errno.EROFS])
def test_a_lock_that_cannot_be_written_is_an_error(tmp_path, monkeypatch, number):
    """Somebody else's, or on a full disk."""
    error = OSError(number, os.strerror(number))
    monkeypatch.setattr(filelock.FileLock, "acquire", mock.Mock(side_effect=error))
    with pytest.raises(OSError, match=os.strerror(number)):
        with files.exclusive(tmp_path, "taken"):
            pytest.fail("it is not held")
