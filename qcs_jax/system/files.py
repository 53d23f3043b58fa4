"""Files that are whole or not there, folders of one process, and of the package."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from qcs_jax.system.errors import UserError

# What file systems without locks answer.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

_PACKAGE = pathlib.Path(__file__).parents[1]


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a name to write a file under, which replaces `path` when the block ends.

    After an error, or a kill, `path` is what it was before.
    """
    path = pathlib.Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:
        if error.errno and not error.filename:  # as when the disk is full
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes UTF-8 text, the same on all systems, whole or not at all.

    Names of files in it need not be text.
    """
    with replacing(path) as unfinished:
        unfinished.write_text(text, "utf-8", "surrogateescape", newline="\n")


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def is_same(path: str | os.PathLike, other: str | os.PathLike) -> bool:
    """Whether both are there, and one file: links, or names in letters of any case."""
    there = os.path.exists(path) and os.path.exists(other)
    return there and os.path.samefile(path, other)


@contextlib.contextmanager
def parents(path: pathlib.Path) -> Iterator[None]:
    """Makes the folders that `path` is to be in; after an error they are gone again."""
    made = [folder for folder in path.absolute().parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in made:
            with contextlib.suppress(OSError):  # somebody else uses it, too
                folder.rmdir()
        raise


@contextlib.contextmanager
def new_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a folder to fill, which becomes `path` when the block ends well.

    A folder that was there stays, as somebody may be in it, and gets other contents;
    after an error it has those of before.
    """
    path = pathlib.Path(path).absolute()
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    old = unfinished.with_name(f"{unfinished.name}.old")
    with parents(path):
        unfinished.mkdir()
        try:
            yield unfinished
            if path.exists():
                _exchange(path, unfinished, old)
            else:
                unfinished.rename(path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _exchange(path: pathlib.Path, new: pathlib.Path, old: pathlib.Path) -> None:
    """Gives a folder the contents of `new`, all or none; `old` is for those it has."""
    moved = []
    old.mkdir()
    try:
        for source, target in ((path, old), (new, path)):
            for child in sorted(source.iterdir()):
                child.rename(target / child.name)
                moved.append((child, target / child.name))
    except BaseException:
        for before, after in reversed(moved):
            after.rename(before)
        old.rmdir()
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def exclusive(folder: pathlib.Path, otherwise: str) -> Iterator[None]:
    """Keeps other processes of this machine out of `folder` while the block runs.

    The system releases the lock however the process ends.

    Raises:
      UserError: with the message `otherwise`, if another process holds the lock.
    """
    import filelock  # takes a while

    folder.mkdir(parents=True, exist_ok=True)
    # A file that stands for a lock would outlive a process that was killed.
    lock = filelock.FileLock(folder / ".lock", fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(otherwise) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()


def packaged(name: str) -> pathlib.Path:
    """Returns the folder `configs` or `data`: in a wheel, or beside the package."""
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name
