"""Reads the layout `train/CLASS/*.jpg`, `test/CLASS/*.jpg`."""

import dataclasses
import hashlib
import os
import pathlib
import re

from integrity import Unreadable

from qcs_jax.images.folder import EXTENSIONS, class_folders, images_in
from qcs_jax.system.errors import UserError

SPLITS = ("train", "test")

_LAYOUT = "expected train/CLASS/*.jpg and test/CLASS/*.jpg"


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder of images, sorted into splits and classes.

    Attributes:
      root: The folder.
      class_names: Sorted names of the class folders.
      images: Per split, (path relative to `root` with forward slashes, label).
      ignored: Files in class folders that are not images by their extension.
      fingerprint: Changes when the folder moves, or an image is added, removed,
        renamed or changes its size.
    """

    root: pathlib.Path
    class_names: tuple[str, ...]
    images: dict[str, tuple[tuple[str, int], ...]]
    ignored: tuple[str, ...]
    fingerprint: str

    @property
    def paths(self) -> list[pathlib.Path]:
        """All images of all splits, in order."""
        return [self.root / name for s in SPLITS for name, _ in self.images[s]]

    def count(self, split: str, label: int) -> int:
        """Returns how many images of a class there are."""
        return sum(found == label for _, found in self.images[split])

    def without(self, unreadable: list[Unreadable]) -> "Folder":
        """Leaves out some images.

        Args:
          unreadable: Images that cannot be used.

        Returns:
          The folder with the rest; same classes, same fingerprint.

        Raises:
          UserError: if a class has no image left.
        """
        bad = {found.path for found in unreadable}
        images = {
            split: tuple(pair for pair in pairs if self.root / pair[0] not in bad)
            for split, pairs in self.images.items()
        }
        rest = dataclasses.replace(self, images=images)
        for split in SPLITS:
            for label, name in enumerate(self.class_names):
                if not rest.count(split, label):
                    raise UserError(
                        f"no image in {self.root / split / name} is readable: add "
                        f"readable ones, or remove the class from train and test"
                    )
        return rest


def default_name(root: pathlib.Path) -> str:
    """Turns the name of a folder into the name of a dataset, [a-z0-9_]+.

    Raises:
      UserError: if nothing is left of it.
    """
    name = re.sub("[^a-z0-9_]+", "_", root.resolve().name.lower()).strip("_")
    if not name:
        raise UserError(f"no name can be made of {root}: choose one with --name=NAME")
    return name


def scan(root: pathlib.Path) -> Folder:
    """Lists the images of a folder without opening them.

    Args:
      root: Holds `train` and `test`, each with one folder per class.

    Returns:
      What was found.

    Raises:
      UserError: if the layout is not the expected one; names the place.
    """
    root = root.expanduser()
    if not root.is_dir():
        raise UserError(
            f"{root} is not a folder: give --manual_dir the folder that holds train "
            f"and test"
        )
    root = root.resolve()
    names = _class_names(root)
    images: dict[str, list[tuple[str, int]]] = {split: [] for split in SPLITS}
    ignored: list[str] = []
    digest = hashlib.sha256(os.fsencode(root))
    for split in SPLITS:
        for label, name in enumerate(names):
            files = _images(root / split / name)
            found = {path.name for path in (root / split / name).iterdir()}
            others = sorted(found - {path.name for path in files})
            ignored += [f"{split}/{name}/{x}" for x in others if x[0] != "."]
            for file in files:
                relative = f"{split}/{name}/{file.name}"
                images[split].append((relative, label))
                # A dangling link has no size; opening it will report it.
                size = file.stat().st_size if file.exists() else -1
                digest.update(os.fsencode(f"\0{relative}\0{size}"))
    return Folder(
        root=root,
        class_names=names,
        images={split: tuple(pairs) for split, pairs in images.items()},
        ignored=tuple(ignored),
        fingerprint=digest.hexdigest(),
    )


def _class_names(root: pathlib.Path) -> tuple[str, ...]:
    train, test = (_classes_of(root / split) for split in SPLITS)
    missing, extra = sorted(set(train) - set(test)), sorted(set(test) - set(train))
    if missing or extra:
        raise UserError(
            f"train and test in {root} must have the same class folders: only train "
            f"has {missing or 'none'}, only test has {extra or 'none'}"
        )
    return tuple(train)


def _classes_of(folder: pathlib.Path) -> list[str]:
    """Names of the classes of a split."""
    if not folder.is_dir():
        raise UserError(f"{folder.parent} has no folder {folder.name!r}: {_LAYOUT}")
    if stray := images_in(folder):
        raise UserError(
            f"{stray[0]} lies outside the class folders: move it into {folder}/CLASS"
        )
    names = class_folders(folder)
    if not names:
        raise UserError(f"{folder} has no class folders: {_LAYOUT}")
    if len(names) < 2:
        raise UserError(
            f"{folder} has only the class {names[0]!r}: at least 2 classes are needed"
        )
    return names


def _images(folder: pathlib.Path) -> list[pathlib.Path]:
    """Images of a class folder."""
    if nested := class_folders(folder):
        raise UserError(
            f"{folder / nested[0]} is a folder inside a class folder: move its images "
            f"up into {folder}"
        )
    images = images_in(folder)
    if not images:
        raise UserError(
            f"{folder} has no images ({', '.join(EXTENSIONS)}): add some, or remove "
            f"the class from train and test"
        )
    return images
