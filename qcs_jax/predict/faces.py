"""What a user may give as faces: paths, folders, encoded images, files, arrays."""

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
from qcs_jax.images.folder import EXTENSIONS, images_below
from qcs_jax.predict.prediction import Failure
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


def expand(given: Any) -> tuple[Iterator[Face | Failure], bool]:
    """Returns the faces one by one, and whether what was given is a single face.

    Many are: an iterable, an array `[b, h, w, 3]`, a pattern (a string with `*`, `?` or
    `[` that is not itself a file; `**` goes through folders), and a folder (the images
    in it and below). Files come in sorted order. Patterns and folders may be items of
    an iterable, too; one without images is a `Failure` there.

    What an open file has from where it stands is read here, in the order of the faces:
    the members of an archive share one position, and may be closed one by one.

    Args:
      given: A `Face`, or several.

    Raises:
      UserError: for a pattern or folder, given alone, that has no images.
    """
    if isinstance(given, str | os.PathLike):
        if not _is_many(given):
            return iter([given]), True
        files, why = _files(given)
        if why:
            raise UserError(f"{os.fspath(given)}: {why}")
        return files, False
    if _is_file(given):
        return _expand_item(given), True
    # Arrays and tables of paths hold objects or strings, not levels.
    kind = getattr(getattr(given, "dtype", None), "kind", "u")
    is_array = hasattr(given, "__array__") and kind not in "OSUT"
    many = np.ndim(given) > 3 if is_array else isinstance(given, Iterable)
    if not many or isinstance(given, Image.Image | Encoded):
        return iter([given]), True
    return itertools.chain.from_iterable(map(_expand_item, given)), False


def path_of(face: Any) -> str | None:
    """Returns the path of a face that is a file, else None."""
    return os.fspath(face) if isinstance(face, str | os.PathLike) else None


def is_url(path: str | os.PathLike) -> bool:
    """Whether a path is none, but a URL."""
    return bool(_URL.match(os.fsdecode(path))) and not os.path.exists(path)


def read(face: Any, side: int | None = None) -> Image.Image:
    """Opens and decodes a face.

    Args:
      face: A `Face`, but no open file, which `expand` reads.
      side: See `decode.read`.

    Raises:
      UserError: if it is not an image. The message does not name the file.
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
    except OSError as error:
        raise UserError(error.strerror or str(error)) from error
    except ValueError as error:  # a null byte in a path
        raise UserError(str(error)) from error
    if hasattr(face, "__array__"):
        return _from_array(np.asarray(face))
    raise UserError(
        f"a {type(face).__name__} is not a face: give a path, an encoded image, a "
        f"Pillow image or uint8 pixels"
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


def _expand_item(face: Face) -> Iterator[Face | Failure]:
    if _is_file(face):
        return iter([_content(face)])
    if not (isinstance(face, str | os.PathLike) and _is_many(face)):
        return iter([face])
    files, why = _files(face)
    return iter([Failure(why, path_of(face))]) if why else files


def _is_file(face: Any) -> bool:
    # Others read something else, such as a gallery its images.
    readable = hasattr(face, "read") and hasattr(face, "readable")
    return readable and not isinstance(face, os.PathLike)


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


def _is_many(path: str | os.PathLike) -> bool:
    return _is_pattern(path) or os.path.isdir(path)


def _is_pattern(path: str | os.PathLike) -> bool:
    if not isinstance(path, str) or is_url(path):  # a URL may have a "?"
        return False
    return glob.has_magic(path) and not os.path.exists(path)


def _files(path: str | os.PathLike) -> tuple[Iterator[str], str]:
    """What a pattern or a folder stands for, and why that is nothing, if it is."""
    if _is_pattern(path):
        found = sorted(glob.iglob(os.fspath(path), recursive=True))
        files: Iterator[str] = filter(os.path.isfile, found)
        otherwise = "no file matches"
    else:
        files = images_below(path)
        otherwise = f"no {', '.join(EXTENSIONS)} in this folder"
    first = next(files, None)
    if first is None:
        return iter(()), otherwise
    return itertools.chain([first], files), ""
