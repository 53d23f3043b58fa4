"""Which images are compared: draws of pairs and quadruplets from a label index.

A draw costs the same for a thousand examples as for ten million: the index lists the
examples class by class, so that "another of this class" and "any of another class" are
each one random number away.
"""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np

from qcs_jax.system.errors import UserError


class LabelIndex:
    """Examples listed class by class."""

    def __init__(self, labels: np.ndarray, num_classes: int):
        """Raises UserError if fewer than two classes have examples."""
        self.labels = np.asarray(labels)  # [N], class of each example
        self.order = np.argsort(self.labels, kind="stable")  # [N], sorted by class
        self.rank = np.empty_like(self.order)  # [N], where each example is in `order`
        self.rank[self.order] = np.arange(len(self.order))
        self.count = np.bincount(self.labels, minlength=num_classes)  # [k], examples
        self.start = np.cumsum(self.count) - self.count  # [k], where each class begins
        self.present = np.flatnonzero(self.count)  # [<= k], classes with examples
        if len(self.present) < 2:
            raise UserError(
                f"images of at least two classes are needed to compare, but only "
                f"{len(self.present)} of {num_classes} classes has images"
            )
        single = np.flatnonzero(self.count == 1).tolist()
        if single:
            text = f"classes {single} have one image each, paired with itself"
            warnings.warn(text, stacklevel=2)

    def any_of(self, label: int, rng: np.random.Generator) -> int:
        """An example of a class, uniformly."""
        return int(self.order[self.start[label] + rng.integers(self.count[label])])

    def another_of_its_class(self, example: int, rng: np.random.Generator) -> int:
        """Another example of the class of `example`, uniformly; itself if alone."""
        label = self.labels[example]
        start, count = self.start[label], self.count[label]
        if count == 1:
            return example
        offset = rng.integers(count - 1)
        offset += offset >= self.rank[example] - start  # steps over the example itself
        return int(self.order[start + offset])

    def any_of_another_class(self, label: int, rng: np.random.Generator) -> int:
        """An example of any other class, uniformly over those examples."""
        offset = rng.integers(len(self.order) - self.count[label])
        if offset >= self.start[label]:
            offset += self.count[label]
        return int(self.order[offset])


@dataclasses.dataclass(frozen=True)
class Draw:
    """Completes an anchor to the images that one network compares.

    These are 1 (anchor), 2 (anchor, positive) or 4 (and two negatives of one class).
    """

    index: LabelIndex
    branches: int
    anchors: str = "shuffled"  # or "balanced": of a uniformly drawn class instead
    negatives: str = "by_image"  # of all other classes; "by_class" first draws one

    def __call__(self, anchor: int, rng: np.random.Generator) -> np.ndarray:
        """Returns the examples of all branches, int64 `[branches]`."""
        index = self.index
        if self.anchors == "balanced":
            anchor = index.any_of(int(rng.choice(index.present)), rng)
        examples = [anchor]
        if self.branches >= 2:
            examples.append(index.another_of_its_class(anchor, rng))
        if self.branches == 4:
            label = int(index.labels[anchor])
            if self.negatives == "by_class":
                others = index.present[index.present != label]
                negative = index.any_of(int(others[rng.integers(len(others))]), rng)
            else:
                negative = index.any_of_another_class(label, rng)
            examples += [negative, index.another_of_its_class(negative, rng)]
        return np.array(examples, np.int64)
