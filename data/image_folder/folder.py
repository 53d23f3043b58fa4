"""Reads the layouts `train/CLASS/*.jpg`, `test/CLASS/*.jpg` and `CLASS/*.jpg`."""

import collections
import dataclasses
import hashlib
import itertools
import os
import pathlib
import re

from qcs_jax.images.decode import EXTENSIONS, class_folders, images_in
from qcs_jax.system.command import typed
from qcs_jax.system.errors import UserError

from ..integrity import Unreadable
from .dividing import Division, divide

SPLITS = ("train", "test")

_LAYOUT = (
    "expected train/CLASS/*.jpg and test/CLASS/*.jpg, or CLASS/*.jpg and "
    "--test_fraction=0.2"
)

_Pair = tuple[str, int]


@dataclasses.dataclass(frozen=True)
class Folder:
    """A folder of images, sorted into splits and classes.

    The fingerprint changes when the folder moves, an image is added, removed, renamed
    or changes its size, or another part is for testing.
    """

    root: pathlib.Path
    class_names: tuple[str, ...]  # sorted
    images: dict[str, tuple[_Pair, ...]]  # per split, path below `root` and label
    ignored: tuple[str, ...]  # files in class folders that are no images
    fingerprint: str
    test_fraction: float | None = None  # where the folder itself has no splits
    division: Division | None = None  # likewise

    @property
    def paths(self) -> list[pathlib.Path]:
        """All images of all splits, in order."""
        return [self.root / name for s in SPLITS for name, _ in self.images[s]]

    def count(self, split: str, label: int) -> int:
        """Returns how many images of a class there are."""
        return sum(other == label for _, other in self.images[split])

    def without(self, unreadable: list[Unreadable]) -> "Folder":
        """Leaves out some images; divides the rest anew where it has no splits.

        Raises:
          UserError: if a class has no image left, or a single one to divide.
        """
        bad = {image.path for image in unreadable}
        images = {
            split: tuple(pair for pair in pairs if self.root / pair[0] not in bad)
            for split, pairs in self.images.items()
        }
        rest = dataclasses.replace(self, images=images)
        if self.test_fraction is not None:
            return rest._divide()
        for split in SPLITS:
            for label, name in enumerate(self.class_names):
                if not rest.count(split, label):
                    raise UserError(
                        f"no image in {self.root / split / name} is readable: add "
                        f"readable ones, or remove the class from train and test"
                    )
        return rest

    def _divide(self) -> "Folder":
        """Divides all images anew into training and test images."""
        assert self.test_fraction is not None
        pairs = sorted(pair for pairs in self.images.values() for pair in pairs)
        count = collections.Counter(label for _, label in pairs)
        for label, name in enumerate(self.class_names):
            if count[label] < 2:
                raise UserError(
                    f"{self.root / name} has too few images, {count[label]}: a class "
                    f"needs 2 or more, one of them for testing; add some, or remove it"
                )
        names, labels = zip(*pairs, strict=True)
        division = divide(names, labels, self.test_fraction)
        images: dict[str, list[_Pair]] = {split: [] for split in SPLITS}
        for pair, is_test in zip(pairs, division.test.tolist(), strict=True):
            images[SPLITS[is_test]].append(pair)
        return dataclasses.replace(
            self,
            images={split: tuple(pairs) for split, pairs in images.items()},
            division=division,
        )


def default_name(root: pathlib.Path) -> str:
    """Turns the name of a folder into the name of a dataset, [a-z0-9_]+."""
    name = re.sub("[^a-z0-9_]+", "_", root.resolve().name.lower()).strip("_")
    if not name:
        raise UserError(f"no name can be made of {root}: choose one with --name=NAME")
    return name


def scan(root: pathlib.Path, test_fraction: float | None = None) -> Folder:
    """Lists the images of a folder without opening them.

    It holds `train` and `test`, each with one folder per class; or these folders
    themselves, with `test_fraction`, the part of every class that is for testing.

    Raises:
      UserError: if the layout is not the expected one; names the place.
    """
    root = root.expanduser()
    if not root.is_dir():
        raise UserError(
            f"{root} is not a folder: give --manual_dir the folder that holds train "
            f"and test, or the classes"
        )
    root = root.resolve()
    if test_fraction is None:
        parents, names = [f"{split}/" for split in SPLITS], _common_classes(root)
    else:
        parents, names = [""], _undivided_classes(root, test_fraction)
    images: dict[str, list[_Pair]] = {parent: [] for parent in parents}
    ignored: list[str] = []
    digest = hashlib.sha256(os.fsencode(root))
    if test_fraction is not None:
        digest.update(f"\0{test_fraction}".encode())
    for parent, (label, name) in itertools.product(parents, enumerate(names)):
        folder = root / parent / name
        files = _images(folder)
        others = {path.name for path in folder.iterdir()}
        others -= {path.name for path in files}
        ignored += [f"{parent}{name}/{x}" for x in sorted(others) if x[0] != "."]
        for file in files:
            relative = f"{parent}{name}/{file.name}"
            images[parent].append((relative, label))
            # A dangling link has no size; opening it will report it.
            size = file.stat().st_size if file.exists() else -1
            digest.update(os.fsencode(f"\0{relative}\0{size}"))
    listed = Folder(
        root=root,
        class_names=names,
        images={parent[:-1]: tuple(pairs) for parent, pairs in images.items()},
        ignored=tuple(ignored),
        fingerprint=digest.hexdigest(),
        test_fraction=test_fraction,
    )
    return listed if test_fraction is None else listed._divide()


def _common_classes(root: pathlib.Path) -> tuple[str, ...]:
    """Names of the classes of a folder that has splits."""
    if not any((root / split).is_dir() for split in SPLITS):
        if any(images_in(root / name) for name in class_folders(root)):
            raise UserError(
                f"{root} has classes, but no train and test: add --test_fraction=0.2, "
                f"which sets a fifth of every class apart for testing"
            )
    elif not (root / "test").is_dir():
        raise UserError(
            f"{root} has no folder 'test': {_LAYOUT}. To set a fifth of train apart "
            f"for it: --manual_dir={typed(str(root / 'train'))} --test_fraction=0.2"
        )
    train, test = (_classes_of(root / split) for split in SPLITS)
    missing, extra = sorted(set(train) - set(test)), sorted(set(test) - set(train))
    if missing or extra:
        raise UserError(
            f"train and test in {root} must have the same class folders: only train "
            f"has {missing or 'none'}, only test has {extra or 'none'}"
        )
    return tuple(train)


def _undivided_classes(root: pathlib.Path, test_fraction: float) -> tuple[str, ...]:
    """Names of the classes of a folder that is to be divided."""
    if not 0 < test_fraction < 1:
        raise UserError(
            f"--test_fraction={test_fraction}: give a part between 0 and 1, such as 0.2"
        )
    if there := [split for split in SPLITS if (root / split).is_dir()]:
        raise UserError(
            f"{root} is divided already, it has {' and '.join(there)}: leave out "
            f"--test_fraction"
        )
    return tuple(_classes_of(root))


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
            f"the class, from train as well as from test"
        )
    return images
