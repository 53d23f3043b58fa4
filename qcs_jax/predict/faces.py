"""What a user may give as faces: paths, patterns, folders, Pillow images, arrays."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from qcs_jax.images import decode
from qcs_jax.images.decode import EXTENSIONS
from qcs_jax.system.errors import UserError

# A path, a Pillow image, or uint8 pixels [h, w], [h, w, 3] (RGB) or [h, w, 4] (RGBA).
Face = str | os.PathLike | Image.Image | np.ndarray


def is_one(faces: Any) -> bool:
    """Whether this is one face, not a collection. Patterns and folders are many."""
    if isinstance(faces, str | os.PathLike):
        return not (_is_pattern(faces) or os.path.isdir(faces))
    if hasattr(faces, "__array__"):
        return faces.ndim < 4
    return isinstance(faces, Image.Image | bytes) or not isinstance(faces, Iterable)


def spread(face: Any) -> Iterator[Any]:
    """The faces that an item stands for: the files of a pattern or folder, or itself.

    A pattern (with `*`, `?` or `[`, and not itself a file) gives what it matches,
    sorted, `**` through folders; a folder the images in it and below, sorted.

    Raises:
      UserError: if there are none.
    """
    if not isinstance(face, str | os.PathLike):
        yield face
    elif _is_pattern(face):
        found = sorted(filter(os.path.isfile, glob.iglob(face, recursive=True)))
        if not found:
            raise UserError("no file matches")
        yield from found
    elif os.path.isdir(face):
        found = _images_below(face)
        yield from _at_least_one(found, f"no {', '.join(EXTENSIONS)} in this folder")
    else:
        yield face


def read(face: Any, side: int | None = None) -> Image.Image:
    """Opens and decodes a face.

    Args:
      face: A `Face`.
      side: See `read`.

    Raises:
      UserError: if it is not an image. The message does not name the file.
    """
    try:
        if isinstance(face, str | os.PathLike):
            with open(face, "rb") as file:
                return decode.read(file, side)
        if isinstance(face, Image.Image):
            face.load()
            return face
    except OSError as error:
        raise UserError(error.strerror or str(error)) from error
    except ValueError as error:  # a null byte in a path, a closed image
        raise UserError(str(error)) from error
    if hasattr(face, "__array__"):
        return _from_array(np.asarray(face))
    raise UserError(
        f"a {type(face).__name__} is not a face: give a path, a Pillow image or uint8 "
        f"pixels"
    )


def _from_array(array: np.ndarray) -> Image.Image:
    shape = array.shape
    is_image = len(shape) == 2 or (len(shape) == 3 and shape[2] in (3, 4))
    if array.dtype != np.uint8 or not is_image or 0 in shape:
        raise UserError(
            f"{array.dtype}{list(shape)} is not a face: give uint8 levels, [h, w], "
            f"[h, w, 3] in RGB or [h, w, 4] in RGBA. Images that are normalised "
            f"already are for Classifier.logits"
        )
    return Image.fromarray(array)


def _is_pattern(path: str | os.PathLike) -> bool:
    return isinstance(path, str) and glob.has_magic(path) and not os.path.exists(path)


def _images_below(folder: str | os.PathLike) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if name.lower().endswith(EXTENSIONS) and not name.startswith("."):
                yield os.path.join(parent, name)


def _at_least_one(paths: Iterator[str], otherwise: str) -> Iterator[str]:
    found = False
    for found in paths:
        yield found
    if not found:
        raise UserError(otherwise)
