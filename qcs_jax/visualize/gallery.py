"""The labelled images that figures show: a folder, or a split of a data set."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from qcs_jax.images.decode import EXTENSIONS, decode
from qcs_jax.system.errors import UserError
from qcs_jax.visualize import Unavailable


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Labelled images, decoded when they are asked for.

    Attributes:
      name: Where they come from, for people.
      labels: int32 `[m]`.
      class_names: k names, in the order of the labels.
      side: Images are resized to this square.
      read: Encoded images of some examples.
    """

    name: str
    labels: np.ndarray
    class_names: tuple[str, ...]
    side: int
    read: Callable[[Sequence[int]], list[bytes]] = dataclasses.field(repr=False)

    def pixels(self, examples: Sequence[int]) -> np.ndarray:
        """uint8 `[len(examples), side, side, 3]`."""
        return np.stack([decode(x, self.side) for x in self.read(examples)])

    def __iter__(self) -> Iterator[np.ndarray]:
        """All images in their order, one at a time."""
        for example in range(len(self.labels)):
            yield self.pixels([example])[0]

    def pick(self, count: int, seed: int) -> np.ndarray:
        """Draws different examples of each class.

        Args:
          count: Examples of a class.
          seed: Seed of the draw.

        Returns:
          int64 `[count, k]`, examples of class c in column c.

        Raises:
          Unavailable: if a class has too few.
        """
        order = np.random.default_rng(seed).permutation(len(self.labels))
        columns = []
        for label, name in enumerate(self.class_names):
            found = order[self.labels[order] == label][:count]
            if len(found) < count:
                raise Unavailable(
                    f"class {name!r} has {len(found) or 'no'} image in {self.name}: "
                    f"give --images=FOLDER with {count} different ones of each class"
                )
            columns.append(found)
        return np.stack(columns, axis=1)


def of_folder(
    folder: str | pathlib.Path,
    class_names: Sequence[str],
    side: int,
    tell: Callable[[str], None],
) -> Gallery:
    """Images in folders named after their class; every one is tried once.

    Args:
      folder: Holds one folder for each class.
      class_names: k names, in the order of the labels.
      side: Images are resized to this square.
      tell: Called with one line for each image that is left out, as unreadable.

    Raises:
      UserError: if the classes are others, or a class has no readable image.
    """
    folder = pathlib.Path(folder).expanduser()
    _check_classes(folder, class_names)
    paths: list[pathlib.Path] = []
    labels: list[int] = []
    for label, name in enumerate(class_names):
        readable = [p for p in _files(folder / name) if _is_readable(p, side, tell)]
        if not readable:
            raise UserError(
                f"{folder / name} has no readable image ({', '.join(EXTENSIONS)}): "
                f"add some"
            )
        paths += readable
        labels += [label] * len(readable)

    def read(examples: Sequence[int]) -> list[bytes]:
        return [paths[i].read_bytes() for i in examples]

    names = tuple(class_names)
    return Gallery(str(folder), np.asarray(labels, np.int32), names, side, read)


def _check_classes(folder: pathlib.Path, class_names: Sequence[str]) -> None:
    wanted = f"it needs one folder for each class: {', '.join(class_names)}"
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: {wanted}")
    found = {path.name for path in folder.iterdir() if path.is_dir()}
    found = {name for name in found if not name.startswith(".")}
    missing, unknown = set(class_names) - found, found - set(class_names)
    problems = [
        f"{what} {', '.join(map(repr, sorted(names)))}"
        for what, names in (("lacks", missing), ("has unknown", unknown))
        if names
    ]
    if problems:
        raise UserError(f"{folder} {' and '.join(problems)}: {wanted}")


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    visible = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in visible if path.suffix.lower() in EXTENSIONS)


def _is_readable(path: pathlib.Path, side: int, tell: Callable[[str], None]) -> bool:
    try:
        decode(path.read_bytes(), side)
    except (OSError, ValueError) as error:
        tell(f"left out {path}: {error}")
        return False
    return True
