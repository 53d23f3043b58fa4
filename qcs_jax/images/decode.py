"""Files of images: which there are in a folder, and the pixels of one."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from qcs_jax.system.errors import UserError

# Files in a folder that are taken for images, whatever the case of their letters.
EXTENSIONS = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp")

# JPEG decoders can halve an image while they decode. Pixels that are still this many
# to one of the result give the same result to one grey level of rounding.
_SPARE = 8
_HALVINGS = 8  # at most; sides that it divides are halved without a remainder


def to_pixels(image: Image.Image, side: int) -> np.ndarray:
    """Returns uint8 `[side, side, 3]`: RGB, upright, resized bilinearly by Pillow."""
    image = upright(image)
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image)


def upright(image: Image.Image) -> Image.Image:
    """Returns RGB, turned as its EXIF orientation says; may be `image` itself.

    What is transparent shows its colour, 16 bits of grey become 8. Raises OSError if it
    cannot be made RGB.
    """
    # Without a need for it, a copy would double the memory of a large photograph.
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            image = ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF: Pillow raises SyntaxError, struct.error, ...
        pass  # the pixels are good
    try:
        return image if image.mode == "RGB" else _rgb(image)
    except ValueError as error:  # a mode that Pillow cannot convert
        raise OSError(f"cannot be made RGB: {error}") from error


def _rgb(image: Image.Image) -> Image.Image:
    """8 bits per channel; what is transparent shows its colour."""
    if image.mode[0] in "IF":  # more than 8 bits, which Pillow would clip at 255
        levels = np.asarray(image)
        top = 65535 if image.mode[0] == "I" and levels.max() > 255 else 255
        top = 1 if image.mode == "F" and levels.max() <= 1 else top
        scaled = np.floor(levels.clip(0, top) * (255.99 / top))
        image = Image.fromarray(scaled.astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:  # or Pillow warns
        image = image.convert("RGBA")
    return image.convert("RGB")


def decode(
    data: bytes, side: int, *, formats: tuple[str, ...] | None = None
) -> np.ndarray:
    """Returns an encoded image (JPEG, ...) as uint8 `[side, side, 3]`; see `read`."""
    return to_pixels(read(io.BytesIO(data), side, formats=formats), side)


def read(
    file: BinaryIO, side: int | None = None, *, formats: tuple[str, ...] | None = None
) -> Image.Image:
    """Decodes an image completely; raises OSError if it is not one, or a part of one.

    `side` is that of the square that the image will be resized to, if it is known. A
    JPEG that is very much larger then comes reduced: faster, and in less memory.
    `formats` are those that are tried, by Pillow's names; by default all.
    """
    with one_kind_of_error():
        image = Image.open(file, formats=formats)
        if side and not any(length % _HALVINGS for length in image.size):
            image.draft(None, (_SPARE * side, _SPARE * side))
        image.load()
    return image


@contextlib.contextmanager
def one_kind_of_error() -> Iterator[None]:
    """Raises as OSError whatever Pillow raises where an image cannot be decoded."""
    try:
        yield
    except UnidentifiedImageError:  # its own message names a buffer in memory
        raise OSError("not an image of a known format") from None
    except Image.DecompressionBombError as error:  # names the pixels, and the most
        raise OSError(f"too large: {error}") from None
    except OSError:
        raise
    except Exception as error:  # Pillow raises many kinds for damaged files
        why = f"{type(error).__name__}: {error}"
        raise OSError(f"cannot be decoded ({why})") from error


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
