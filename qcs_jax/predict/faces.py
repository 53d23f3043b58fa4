"""Inputs that are taken for faces: paths, folders, encoded images, files, arrays."""

from __future__ import annotations

import glob
import io
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np
from PIL import Image

from qcs_jax.images import decode
from qcs_jax.images.decode import EXTENSIONS, images_below
from qcs_jax.predict.answers import Failure
from qcs_jax.system.errors import UserError

# A path, an encoded image (JPEG, PNG, ...), a file of one that is open for reading, a
# Pillow image, or uint8 pixels [h, w], [h, w, 3] (RGB) or [h, w, 4] (RGBA).
Encoded = bytes | bytearray | memoryview
File = IO[bytes] | io.BufferedIOBase
Face = str | os.PathLike | Encoded | File | Image.Image | np.ndarray

NOT_DOWNLOADED = (
    "this is a URL, and nothing is downloaded: download it first, and give the file"
)
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # C:/ is a drive


def expand(faces: Any) -> tuple[Iterator[Face | Failure], bool]:
    """Returns faces one by one, and whether the input is a single face.

    Several are: an iterable, an array `[b, h, w, 3]`, a pattern (a string with `*`, `?`
    or `[` that is not itself a file; `**` goes through folders), and a folder (the
    images in it and below). Files come in sorted order. Patterns and folders may be
    items of an iterable, too; one without images is a `Failure` there.

    What an open file has from where it stands is read here, in the order of the faces:
    the members of an archive share one position, and may be closed one by one.

    Raises:
      UserError: for a pattern or folder, given alone, that has no images.
    """
    if _is_iterable(faces):
        return (item for face in faces for item in _items(face)[0]), False
    items, single = _items(faces)
    if not single:
        first = next(items)
        if isinstance(first, Failure):
            raise UserError(str(first))
        items = itertools.chain([first], items)
    return items, single


def path_of(face: Any) -> str | None:
    """Returns the path of a face that is a file, else None."""
    return os.fspath(face) if isinstance(face, str | os.PathLike) else None


def is_url(path: str | os.PathLike) -> bool:
    """Whether a path is none, but a URL."""
    return bool(_URL.match(os.fsdecode(path))) and not os.path.exists(path)


def read(face: Any, side: int | None = None) -> Image.Image:
    """Opens and decodes a face, no open file, which `expand` reads.

    For `side` see `decode.read`. The UserError, if it is not an image, does not name
    the file.
    """
    try:
        if isinstance(face, str | os.PathLike):
            if is_url(face):
                raise UserError(f"{NOT_DOWNLOADED} or its bytes")
            with open(face, "rb") as file:
                return decode.read(file, side)
        if isinstance(face, Encoded):
            return decode.read(io.BytesIO(bytes(face)), side)
        if isinstance(face, Image.Image):
            if 0 in face.size:  # cropped to what is beside it
                size = f"{face.width} x {face.height} pixels"
                raise UserError(f"an image of {size} shows nothing")
            with decode.one_kind_of_error():  # it may be open, but not read yet
                face.load()
            return face
    except (OSError, ValueError) as error:  # such as a null byte in a path
        raise UserError(getattr(error, "strerror", None) or str(error)) from error
    if not hasattr(face, "__array__"):
        raise UserError(
            f"a {type(face).__name__} is not a face: give a path, an encoded image, a "
            f"Pillow image or uint8 pixels"
        )
    pixels = np.asarray(face)
    is_image = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if pixels.dtype != np.uint8 or not is_image or 0 in pixels.shape:
        raise UserError(
            f"{pixels.dtype}{list(pixels.shape)} is not a face: give uint8 levels, "
            f"[h, w], [h, w, 3] in RGB or [h, w, 4] in RGBA. Images that are "
            f"normalised already are for Classifier.logits"
        )
    return Image.fromarray(pixels)


def _is_iterable(faces: Any) -> bool:
    if isinstance(faces, str | os.PathLike | Encoded | Image.Image) or _is_file(faces):
        return False
    # Arrays and tables of paths hold objects or strings, not levels.
    kind = getattr(getattr(faces, "dtype", None), "kind", "u")
    if hasattr(faces, "__array__") and kind not in "OSUT":
        return np.ndim(faces) > 3
    return isinstance(faces, Iterable)


def _is_file(face: Any) -> bool:
    # Others read something else, such as a gallery its images.
    readable = hasattr(face, "read") and hasattr(face, "readable")
    return readable and not isinstance(face, os.PathLike)


def _items(face: Any) -> tuple[Iterator[Face | Failure], bool]:
    """The files of a pattern or folder, or a face; and whether it is one."""
    files: Iterator[str]
    if isinstance(face, str | os.PathLike) and os.path.isdir(face):
        files, error = images_below(face), f"no {', '.join(EXTENSIONS)} in this folder"
    elif isinstance(face, str) and _is_pattern(face):
        matches = sorted(glob.iglob(face, recursive=True))
        files, error = filter(os.path.isfile, matches), "no file matches"
    else:
        return iter([_content(face) if _is_file(face) else face]), True
    first = next(files, None)
    item = Failure(error, path_of(face)) if first is None else first
    return itertools.chain([item], files), False


def _is_pattern(path: str) -> bool:
    # A URL may have a "?".
    return glob.has_magic(path) and not (is_url(path) or os.path.exists(path))


def _content(file: Any) -> bytes | Failure:
    try:
        data = file.read()
    except UnicodeDecodeError:
        data = ""
    except Exception as error:  # closed, or damaged: every archive has kinds of its own
        return Failure(f"this file cannot be read ({type(error).__name__}: {error})")
    if isinstance(data, str):
        return Failure('this file is open for reading text: open it with mode "rb"')
    if not data:
        return Failure("this file is empty, or was read to its end: seek(0) goes back")
    return data
