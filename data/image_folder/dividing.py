"""Divides images into training and test images, class by class, person by person.

Who is in an image, the names of the files may show.
"""

import collections
import dataclasses
import hashlib
import re
from collections.abc import Sequence

import numpy as np

# JAFFE, the smallest of the usual sets, has ten persons.
_FEWEST = 8
# A name that more images than this begin with is a camera's, or a data set's.
_LARGEST_SHARE = 0.25
# Outweighs any distance: a class that one of the splits would lack.
_MISSING = 1e9


@dataclasses.dataclass(frozen=True, eq=False)  # arrays do not compare
class Division:
    """Which images are for testing, and how they were chosen."""

    test: np.ndarray  # bool [n]
    persons: tuple[str, ...] | None  # in each image; None if file names show none

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
    """
    classes = np.asarray(labels)
    people = persons([name.rpartition("/")[2] for name in names], labels)
    # Whoever comes first by these digests is for testing: as good as drawn at random,
    # and another image changes little for the others.
    digests = np.array([_digest(name) for name in names])
    keys = digests if people is None else np.array([_digest(name) for name in people])
    unique, group = np.unique(keys, return_inverse=True)
    counts = np.zeros((len(unique), classes.max() + 1), int)
    np.add.at(counts, (group, classes), 1)
    total = counts.sum(axis=0)
    quota = np.clip(np.floor(fraction * total + 0.5).astype(int), 1, total - 1)
    test = _choose(counts, quota)[group]
    for label, count in enumerate(quota):
        (images,) = np.nonzero(classes == label)
        if test[images].all() or not test[images].any():
            order = np.lexsort((digests[images], keys[images]))
            test[images[order]] = np.arange(len(images)) < count
    return Division(test, None if people is None else tuple(people))


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def _choose(counts: np.ndarray, quota: np.ndarray) -> np.ndarray:
    """Chooses groups whose images come near to the quota of every class.

    Args:
      counts: Images of every class in every group, int `[g, k]`.
      quota: Images of every class to choose, int `[k]`.

    Returns:
      bool `[g]`.
    """
    total = counts.sum(axis=0)

    def distance(test: np.ndarray) -> np.ndarray:
        missing = (test == 0) | (test == total)
        return ((test - quota) ** 2 / total + _MISSING * missing).sum(axis=-1)

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


def persons(names: Sequence[str], labels: Sequence[int]) -> list[str] | None:
    """Reads persons from file names such as `S005_001.png` and `KA.AN1.39.jpg`.

    A name may begin with a person up to the first `_`, `-` or `.`. Whether such
    beginnings are persons is decided by all names together: there must be at least
    eight, none of them in more than a quarter of the images, and most must have several
    images and several classes. Numbers that start anew in each class, as in `1.jpg`
    and `1_happy.jpg`, are none. Returns None if the names do not show persons.
    """
    stems = [name.rpartition(".")[0] for name in names]
    people = [re.split("[_.-]", stem, maxsplit=1)[0] for stem in stems]
    images: dict[str, set[tuple[str, int]]] = collections.defaultdict(set)
    for person, stem, label in zip(people, stems, labels, strict=True):
        images[person].add((stem, label))
    largest = max(collections.Counter(people).values(), default=0)
    if len(images) < _FEWEST or largest > _LARGEST_SHARE * len(names):
        return None
    likely = sum(_is_person(name, seen) for name, seen in images.items())
    return people if 2 * likely > len(images) else None


def _is_person(name: str, images: set[tuple[str, int]]) -> bool:
    """Whether the images that begin with a name may well be of one person."""
    classes = {label for _, label in images}
    if not name or len(classes) < 2 or len({stem for stem, _ in images}) < 2:
        return False
    # A bare number with one image in each class is more often that image's own.
    return not name.isdecimal() or len(images) > len(classes)
