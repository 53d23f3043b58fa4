"""The labelled images that figures show: a folder, or a split of a data set."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from qcs_jax.figures import Unavailable
from qcs_jax.images.decode import decode
from qcs_jax.images.folder import labelled_images
from qcs_jax.system.errors import UserError


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
        """Returns some images, uint8 `[len(examples), side, side, 3]`."""
        return np.stack([decode(x, self.side) for x in self.read(examples)])

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields all images in their order."""
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
    """Returns the images in folders named after their class; each is tried once.

    Args:
      folder: Holds one folder for each class.
      class_names: k names, in the order of the labels.
      side: Images are resized to this square.
      tell: Called with one line for each image that is left out, as unreadable.

    Raises:
      UserError: if the classes are others, or a class has no readable image.
    """
    folder = pathlib.Path(folder).expanduser()
    paths, labels = labelled_images(folder, class_names, every_class=True)
    readable = []
    for i, path in enumerate(paths):
        try:
            decode(path.read_bytes(), side)
            readable.append(i)
        except (OSError, ValueError) as error:
            tell(f"left out {path}: {error}")
    labels = labels[readable]
    for label, name in enumerate(class_names):
        if label not in labels:
            raise UserError(
                f"{pathlib.Path(folder) / name} has no readable image: add some"
            )

    def read(examples: Sequence[int]) -> list[bytes]:
        return [paths[readable[i]].read_bytes() for i in examples]

    return Gallery(str(folder), labels, tuple(class_names), side, read)
