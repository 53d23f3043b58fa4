"""Who is in an image, where the names of the files show it."""

import collections
import re
from collections.abc import Sequence

# JAFFE, the smallest of the usual sets, has ten persons.
_FEWEST = 8
# A name that more images than this begin with is a camera's, or a data set's.
_LARGEST_SHARE = 0.25


def persons(names: Sequence[str], labels: Sequence[int]) -> list[str] | None:
    """Reads persons from file names such as `S005_001.png` and `KA.AN1.39.jpg`.

    A name may begin with a person up to the first `_`, `-` or `.`. Whether such
    beginnings are persons is decided by all names together: there must be at least
    eight, none of them in more than a quarter of the images, and most must have several
    images and several classes. Numbers that start anew in each class, as in `1.jpg`
    and `1_happy.jpg`, are none.

    Args:
      names: File names of n images, without folders.
      labels: Their classes.

    Returns:
      The person in each image, or None if the names do not show persons.
    """
    stems = [name.rpartition(".")[0] for name in names]
    found = [re.split("[_.-]", stem, maxsplit=1)[0] for stem in stems]
    images: dict[str, set[tuple[str, int]]] = collections.defaultdict(set)
    for person, stem, label in zip(found, stems, labels, strict=True):
        images[person].add((stem, label))
    largest = max(collections.Counter(found).values(), default=0)
    if len(images) < _FEWEST or largest > _LARGEST_SHARE * len(names):
        return None
    likely = sum(_is_person(name, seen) for name, seen in images.items())
    return found if 2 * likely > len(images) else None


def _is_person(name: str, images: set[tuple[str, int]]) -> bool:
    """Whether the images that begin with a name may well be of one person."""
    classes = {label for _, label in images}
    if not name or len(classes) < 2 or len({stem for stem, _ in images}) < 2:
        return False
    # A bare number with one image in each class is more often that image's own.
    return not name.isdecimal() or len(images) > len(classes)
