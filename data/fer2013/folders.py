"""FER2013 as folders of images: `train/CLASS/*.jpg`, `test/CLASS/*.jpg`."""

import pathlib
from collections.abc import Iterator

from qcs_jax.images.decode import class_folders, images_in
from qcs_jax.system.datasets import ALIASES, DATASETS
from qcs_jax.system.errors import UserError

from ..official import Example, stored
from .table import SPLITS

_CLASS_NAMES = DATASETS["fer2013"].class_names

# A folder `test` may hold both test sets, which the names of the images tell apart.
_FOLDERS = {"train": "train", "validation": "validation", "test": "test"}


def is_in(root: pathlib.Path) -> bool:
    """Whether a folder holds the training images in folders."""
    return (root / "train").is_dir()


def read(root: pathlib.Path) -> Iterator[tuple[str, Example]]:
    """Yields the split and the image, of all images, without opening them."""
    for folder in _FOLDERS:
        for name in class_folders(root / folder) if (root / folder).is_dir() else ():
            label = _label(root / folder / name)
            for path in images_in(root / folder / name):
                where = path.relative_to(root).as_posix()
                yield _split(folder, path), Example(where, label, path, stored(path))


def _label(folder: pathlib.Path) -> int:
    name = folder.name.lower()
    name = ALIASES.get(name, name)
    if name not in _CLASS_NAMES:
        raise UserError(
            f"{folder} is no class of FER2013, which has "
            f"{', '.join(sorted(_CLASS_NAMES))}: use the original folders"
        )
    return _CLASS_NAMES.index(name)


def _split(folder: str, path: pathlib.Path) -> str:
    """The split of an image: what its name says, else that of the folder."""
    usage = path.name.partition("_")[0]
    named = SPLITS.get(usage)
    if named and named != folder and not (folder, named) == ("test", "validation"):
        raise UserError(
            f"{path} is one of {usage} by its name, but lies in {folder}: use the "
            f"original folders"
        )
    return named or _FOLDERS[folder]
