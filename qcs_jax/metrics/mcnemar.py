"""Whether two networks differ, from their answers about the same images."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np

from qcs_jax.metrics.predictions import Predictions
from qcs_jax.system.errors import UserError

LEVEL = 0.05  # of significance


@dataclasses.dataclass(frozen=True)
class McNemar:
    """The exact test of McNemar: only images that one of two got right tell.

    Attributes:
      examples: Images.
      accuracy_a: Of the first, 0 to 1.
      accuracy_b: Of the second, 0 to 1.
      only_a: Images that only the first got right (b in the usual table).
      only_b: Images that only the second got right (c).
      p: Probability of a difference as large as this, if both were equally good;
        exact, two-sided, binomial.
    """

    examples: int
    accuracy_a: float
    accuracy_b: float
    only_a: int
    only_b: int
    p: float

    @classmethod
    def of(cls, correct_a: np.ndarray, correct_b: np.ndarray) -> McNemar:
        """From bool `[N]` each, in the same order of images."""
        only_a = int(np.sum(correct_a & ~correct_b))
        only_b = int(np.sum(correct_b & ~correct_a))
        return cls(
            len(correct_a),
            float(np.mean(correct_a)),
            float(np.mean(correct_b)),
            only_a,
            only_b,
            _two_sided(only_a, only_b),
        )

    def sentence(self, a: str = "the first", b: str = "the second") -> str:
        """What follows, in words."""
        if self.p >= LEVEL:
            return (
                f"{a} and {b} cannot be told apart: a difference as large as this "
                f"comes by chance with p = {self.p:.3g}."
            )
        better, worse = (a, b) if self.only_a > self.only_b else (b, a)
        return (
            f"{better} is better than {worse}: if they were equally good, a difference "
            f"as large as this would come by chance with p = {self.p:.3g}."
        )


def compare(a: Predictions, b: Predictions) -> McNemar:
    """The test of two prediction files about the same images, in any order.

    Raises:
      UserError: if images or their labels differ, or an id occurs twice.
    """
    order_a, order_b = _positions(a, "first"), _positions(b, "second")
    missing = order_a.keys() ^ order_b.keys()
    if missing:
        raise UserError(
            f"the predictions are about different images: {len(missing)} of "
            f"{len(order_a.keys() | order_b.keys())} are in one file only, such as "
            f"{min(missing)!r}. Evaluate both runs on the same split"
        )
    rows_a, rows_b = [*order_a.values()], [order_b[name] for name in order_a]
    for name, i, j in zip(order_a, rows_a, rows_b, strict=True):
        labels = a.class_names[a.labels[i]], b.class_names[b.labels[j]]
        if labels[0] != labels[1]:
            raise UserError(
                f"image {name!r} is {labels[0]} in the first file and {labels[1]} in "
                f"the second: evaluate both runs on the same data set"
            )
    return McNemar.of(a.correct[rows_a], b.correct[rows_b])


def _positions(predictions: Predictions, which: str) -> dict[str, int]:
    if len(set(predictions.ids)) < len(predictions.ids):
        name, count = Counter(predictions.ids).most_common(1)[0]
        raise UserError(
            f"{name!r} occurs {count} times in the {which} file: images can only be "
            f"matched where each has a name of its own"
        )
    return {name: i for i, name in enumerate(predictions.ids)}


def _two_sided(b: int, c: int) -> float:
    if b + c == 0:
        return 1.0
    from scipy.stats import binomtest  # takes a second, which tables can do without

    return float(binomtest(b, b + c, 0.5).pvalue)
