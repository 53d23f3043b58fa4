"""The older release of AffectNet: whole photographs, and lists of the faces in them."""

import functools
import io
import pathlib
from collections.abc import Iterator

import tqdm

from .. import integrity
from ..integrity import Unreadable
from ..official import Example, csv_lines
from . import labels

SPLITS = {"train": "training.csv", "test": "validation.csv"}
COLUMNS = (
    "subDirectory_filePath face_x face_y face_width face_height facial_landmarks "
    "expression valence arousal"
).split()
_LIST_FOLDERS = (
    ".",
    "Manually_Annotated_file_lists",
    "Manually_Annotated/Manually_Annotated_file_lists",
)
_IMAGE_FOLDERS = (
    "Manually_Annotated_Images",
    "Manually_Annotated/Manually_Annotated_Images",
    "Manually_Annotated_compressed/Manually_Annotated_Images",
)
# Some photographs are TIFF files. They are cropped, so never stored as they are.
_MORE_FORMATS = ("TIFF",)
# Hardly a trace of compressing twice, at a quarter of the size of PNG or less.
_QUALITY = 95


def is_in(root: pathlib.Path) -> bool:
    """Whether a folder holds at least a part of this release."""
    return any(_find(root, name, _LIST_FOLDERS).is_file() for name in SPLITS.values())


def lacking(root: pathlib.Path) -> list[pathlib.Path]:
    """Returns the files and folders that should be there and are not."""
    required = [_find(root, name, _LIST_FOLDERS) for name in SPLITS.values()]
    required.append(_images(root))
    return [path for path in required if not path.exists()]


def read(root: pathlib.Path, name: str) -> Iterator[Example | Unreadable]:
    """Yields the face of each row of a list, unopened, or what is wrong with it."""
    path, images = _find(root, name, _LIST_FOLDERS), _images(root)
    lines = csv_lines(path)
    progress = tqdm.tqdm(lines, desc=f"Reading {name}", unit=" rows")
    for number, line in enumerate(progress, start=1):
        if number == 1 and line and line[0].strip() == COLUMNS[0]:
            continue  # the header; not every copy has one
        try:
            yield _example(line, images)
        except ValueError as error:
            yield Unreadable(pathlib.Path(f"{path}, line {number}"), str(error))


def _find(root: pathlib.Path, name: str, folders: tuple[str, ...]) -> pathlib.Path:
    """Returns the first place where it is, or else the first place."""
    places = [root / folder / name for folder in folders]
    return next((place for place in places if place.exists()), places[0])


def _images(root: pathlib.Path) -> pathlib.Path:
    return _find(root, ".", _IMAGE_FOLDERS)


def _example(line: list[str], images: pathlib.Path) -> Example:
    if len(line) != len(COLUMNS):
        raise ValueError(f"{len(line)} columns instead of {len(COLUMNS)}")
    row = dict(zip(COLUMNS, line, strict=True))
    label = labels.parse(row["expression"])
    name = pathlib.PurePosixPath(row["subDirectory_filePath"].strip())
    if not name.name or name.is_absolute() or ".." in name.parts:
        raise ValueError(f"image name {str(name)!r} leads elsewhere")
    path = images / name
    load = functools.partial(_face, path, tuple(line[1:5]))
    return Example(str(name), label, path, load)


def _face(path: pathlib.Path, box: tuple[str, ...]) -> bytes:
    """Cuts the face out of a photograph, as JPEG; raises ValueError for what is no use.

    The box is left, top, width and height in pixels, of the image as it is stored, not
    as its EXIF data may turn it; what is outside is cut off.
    """
    photograph = integrity.decode(path.read_bytes(), _MORE_FORMATS)
    try:
        x, y, width, height = (round(float(text)) for text in box)
    except (ValueError, OverflowError):
        raise ValueError(f"face box {box} is not four numbers") from None
    left, top = max(x, 0), max(y, 0)
    right = min(x + width, photograph.width)
    bottom = min(y + height, photograph.height)
    if left >= right or top >= bottom:
        raise ValueError(
            f"face box x={x} y={y} {width}x{height} has no part of the image, "
            f"{photograph.width}x{photograph.height}"
        )
    face = integrity.eight_bit(photograph.crop((left, top, right, bottom)))
    buffer = io.BytesIO()
    face.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return buffer.getvalue()
