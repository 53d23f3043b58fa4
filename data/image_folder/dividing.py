"""Divides images into training and test images, class by class, person by person."""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np

from image_folder.persons import persons

# Outweighs any distance: a class that one of the splits would lack.
_MISSING = 1e9


@dataclasses.dataclass(frozen=True, eq=False)  # arrays do not compare
class Division:
    """Which images are for testing, and how they were chosen.

    Attributes:
      test: bool `[n]`.
      persons: The person in each image, n names, or None if file names show none.
    """

    test: np.ndarray
    persons: tuple[str, ...] | None

    @property
    def divided(self) -> list[str]:
        """Persons who are in both splits, sorted."""
        pairs = set(zip(self.persons or (), self.test.tolist(), strict=False))
        return sorted(name for name, test in pairs if test and (name, False) in pairs)

    def __str__(self) -> str:
        """What was assumed, and how many images that makes, in one line."""
        images = f"{self.test.sum():,} of {len(self.test):,} images are for testing"
        if self.persons is None:
            return f"split by image, since the file names show no persons: {images}"
        tested = {name for name, t in zip(self.persons, self.test, strict=True) if t}
        text = (
            f"split by person, since the file names seem to begin with persons, such "
            f"as {min(self.persons)!r}: {len(tested):,} of {len(set(self.persons)):,} "
            f"persons, {images}"
        )
        if self.divided:
            text += (
                f"; a class with too few persons needs {', '.join(self.divided)} in "
                f"both splits"
            )
        return text


def divide(names: Sequence[str], labels: Sequence[int], fraction: float) -> Division:
    """Divides images so that `fraction` of every class, or nearly so, is for testing.

    The result depends on the names, their classes and the fraction alone, not on the
    order of the images. Images of one person stay together where file names show
    persons (see `persons`); a class that cannot be in both splits otherwise divides a
    person. Without persons the fraction of every class is met up to rounding.

    Args:
      names: Paths of n images, `CLASS/FILE`, each once.
      labels: Their classes, 0 to k - 1, of at least two images each.
      fraction: In (0, 1).

    Returns:
      The division; both splits have an image of every class.
    """
    classes = np.asarray(labels)
    found = persons([name.rpartition("/")[2] for name in names], labels)
    # Whoever comes first by these digests is for testing: as good as drawn at random,
    # and another image changes little for the others.
    digests = np.array([_digest(name) for name in names])
    keys = digests if found is None else np.array([_digest(name) for name in found])
    unique, group = np.unique(keys, return_inverse=True)
    counts = np.zeros((len(unique), classes.max() + 1), int)
    np.add.at(counts, (group, classes), 1)
    total = counts.sum(axis=0)
    wanted = np.clip(np.floor(fraction * total + 0.5).astype(int), 1, total - 1)
    test = _choose(counts, wanted)[group]
    for label, count in enumerate(wanted):
        (images,) = np.nonzero(classes == label)
        if test[images].all() or not test[images].any():
            order = np.lexsort((digests[images], keys[images]))
            test[images[order]] = np.arange(len(images)) < count
    return Division(test, None if found is None else tuple(found))


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def _choose(counts: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Chooses groups whose images come near to the wanted number of every class.

    Args:
      counts: Images of every class in every group, int `[g, k]`.
      wanted: Images of every class to choose, int `[k]`.

    Returns:
      bool `[g]`.
    """
    total = counts.sum(axis=0)

    def distance(test: np.ndarray) -> np.ndarray:
        missing = (test == 0) | (test == total)
        return ((test - wanted) ** 2 / total + _MISSING * missing).sum(axis=-1)

    chosen, test = np.zeros(len(counts), bool), np.zeros_like(total)
    for group, count in enumerate(counts):
        if distance(test + count) < distance(test):
            chosen[group], test = True, test + count
    while True:  # each time nearer, so it ends
        moved = test + np.where(chosen, -1, 1)[:, None] * counts
        distances = distance(moved)
        best = distances.argmin()
        if distances[best] >= distance(test):
            return chosen
        chosen[best], test = not chosen[best], moved[best]
