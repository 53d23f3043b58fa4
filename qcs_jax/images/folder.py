"""Folders of images: which files count as images, and which class they belong to."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from qcs_jax.images.decode import EXTENSIONS
from qcs_jax.system.errors import UserError


def images_in(folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """Returns the visible images of one folder, sorted; dangling links among them."""
    return sorted(p for p in pathlib.Path(folder).iterdir() if _is_image(p))


def images_below(folder: str | os.PathLike[str]) -> Iterator[str]:
    """Yields the paths of the visible images in a folder and in those below it.

    A folder's own images come before those further down, both sorted.
    """
    for parent, folders, names in os.walk(folder):
        folders.sort()
        paths = (pathlib.Path(parent, name) for name in sorted(names))
        yield from (str(path) for path in paths if _is_image(path))


def class_folders(folder: str | os.PathLike[str]) -> list[str]:
    """Returns the names of the visible folders in a folder, sorted."""
    folders = (path for path in pathlib.Path(folder).iterdir() if path.is_dir())
    return sorted(path.name for path in folders if not path.name.startswith("."))


def labelled_images(
    folder: str | os.PathLike[str], class_names: Sequence[str], *, every_class: bool
) -> tuple[list[pathlib.Path], np.ndarray]:
    """Lists the images `FOLDER/CLASS/*`, class by class, and their labels, int32 `[m]`.

    With `every_class`, there must be a folder for each class and no other. If not, any
    folder without images is passed over.

    Raises:
      UserError: if a class folder is unknown or missing, or there are no images.
    """
    folder = pathlib.Path(folder).expanduser()
    layout = f"it needs one folder for each class: {', '.join(class_names)}"
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: {layout}")
    images = {name: images_in(folder / name) for name in class_folders(folder)}
    present = {name for name in images if every_class or images[name]}
    missing = set(class_names) - present if every_class else set()
    wrong = {"lacks": missing, "has unknown": present - set(class_names)}
    faults = [
        f"{what} {', '.join(map(repr, sorted(names)))}"
        for what, names in wrong.items()
        if names
    ]
    if not faults and not any(images.values()):
        faults = [f"has no images ({', '.join(EXTENSIONS)})"]
    if faults:
        raise UserError(f"{folder} {' and '.join(faults)}: {layout}")
    by_class = [images.get(name, []) for name in class_names]
    labels = np.repeat(np.arange(len(by_class), dtype=np.int32), [*map(len, by_class)])
    return [path for paths in by_class for path in paths], labels


def _is_image(path: pathlib.Path) -> bool:
    """By its name; what is no file, such as a pipe, is none: reading it may not end."""
    name = path.name
    if not name.lower().endswith(EXTENSIONS) or name.startswith("."):
        return False
    return path.is_file() or not path.exists()
