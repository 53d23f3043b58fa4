"""The newer release of AffectNet: cropped faces, and a file for each label."""

import io
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import tqdm

from .. import integrity
from ..integrity import Unreadable
from ..official import Example, stored
from . import labels

SPLITS = {"train": "train_set", "test": "val_set"}
_FOLDERS = ("images", "annotations")
_SUFFIX = "_exp.npy"


def is_in(root: pathlib.Path) -> bool:
    """Whether a folder holds at least a part of this release."""
    return any((root / name).is_dir() for name in SPLITS.values())


def lacking(root: pathlib.Path) -> list[pathlib.Path]:
    """Returns the folders that should be there and are not."""
    required = [root / s / folder for s in SPLITS.values() for folder in _FOLDERS]
    return [path for path in required if not path.is_dir()]


def read(root: pathlib.Path, name: str) -> Iterator[Example | Unreadable]:
    """Yields each image of a set, unopened, or what is wrong with its label."""
    images, annotations = (root / name / folder for folder in _FOLDERS)
    labelled = {
        file.removesuffix(_SUFFIX)
        for file in os.listdir(annotations)
        if file.endswith(_SUFFIX)
    }
    present = {file[:-4] for file in os.listdir(images) if file.endswith(".jpg")}
    # An image without a label is as odd as a label without an image, so name both.
    everything = sorted(labelled | present, key=lambda stem: (len(stem), stem))
    for stem in tqdm.tqdm(everything, desc=f"Reading {name}", unit=" labels"):
        annotation = annotations / f"{stem}{_SUFFIX}"
        try:
            label = _label(annotation)
        except (OSError, ValueError) as error:
            yield Unreadable(annotation, integrity.reason(error))
            continue
        path = images / f"{stem}.jpg"
        yield Example(f"{name}/images/{path.name}", label, path, stored(path))


def _label(path: pathlib.Path) -> int:
    """Reads a label, which is an array of a single string or number."""
    data = io.BytesIO(path.read_bytes())
    try:
        # Objects are refused: unpickling them could run anything.
        array = np.lib.format.read_array(data, allow_pickle=False)
        text = array.astype(str).reshape(-1).tolist()
    except (ValueError, MemoryError) as error:
        raise ValueError(f"not a plain array: {error}") from None
    if len(text) != 1:
        raise ValueError(f"{len(text)} labels instead of one")
    return labels.parse(text[0])
