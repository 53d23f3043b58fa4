"""Images in folders: which files count, and folders named after classes."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from qcs_jax.system.errors import UserError

# Files in a folder that are taken for images.
EXTENSIONS = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp")


def is_image(name: str) -> bool:
    """Whether a file is taken for an image, by its name; hidden files are not."""
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def images_in(folder: str | os.PathLike) -> list[pathlib.Path]:
    """Returns the images of a folder, sorted, without those of its sub-folders."""
    return sorted(p for p in pathlib.Path(folder).iterdir() if is_image(p.name))


def images_below(folder: str | os.PathLike) -> Iterator[str]:
    """Yields the images of a folder and of those below it, sorted."""
    for parent, folders, names in os.walk(os.fspath(folder)):
        folders.sort()
        for name in filter(is_image, sorted(names)):
            yield os.path.join(parent, name)


def class_folders(folder: str | os.PathLike) -> list[str]:
    """Returns the names of the visible sub-folders, sorted."""
    found = (p.name for p in pathlib.Path(folder).iterdir() if p.is_dir())
    return sorted(name for name in found if not name.startswith("."))


def labelled_images(
    folder: str | os.PathLike, class_names: Sequence[str], *, every_class: bool
) -> tuple[list[pathlib.Path], np.ndarray]:
    """Lists `FOLDER/CLASS/*`.

    Args:
      folder: The folder.
      class_names: k names, in the order of the labels.
      every_class: Whether each class must have a folder.

    Returns:
      Files, class by class, and their labels, int32.

    Raises:
      UserError: if a folder is named as no class, a class has none, or there are no
        images.
    """
    folder = pathlib.Path(folder).expanduser()
    wanted = f"give a folder of CLASS/*.jpg, where CLASS is {', '.join(class_names)}"
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: {wanted}")
    found = set(class_folders(folder))
    missing = set(class_names) - found if every_class else set()
    wrong = {"lacks": missing, "has unknown": found - set(class_names)}
    told = [
        f"{what} {', '.join(map(repr, sorted(names)))}"
        for what, names in wrong.items()
        if names
    ]
    if told:
        raise UserError(f"{folder} {' and '.join(told)}: {wanted}")
    paths: list[pathlib.Path] = []
    labels: list[int] = []
    for label, name in enumerate(class_names):
        files = images_in(folder / name) if name in found else []
        if every_class and not files:
            raise UserError(
                f"{folder / name} has no image ({', '.join(EXTENSIONS)}): add some"
            )
        paths += files
        labels += [label] * len(files)
    if not paths:
        raise UserError(f"{folder} has no images: {wanted}")
    return paths, np.asarray(labels, np.int32)
