"""Whether two networks differ, from their answers about the same images."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np

from qcs_jax.evaluate.predictions import Predictions
from qcs_jax.evaluate.significance import SIGNIFICANT
from qcs_jax.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class McNemar:
    """The exact test of McNemar: only images that one of two got right tell.

    Attributes:
      examples: Number of images.
      accuracy_a: Accuracy of the first network, 0 to 1.
      accuracy_b: Accuracy of the second.
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
        """Tests bool `[N]` each, in the same order of images."""
        from scipy.stats import binomtest  # takes a second, which tables do without

        accuracies = float(np.mean(correct_a)), float(np.mean(correct_b))
        only_a = int(np.sum(correct_a & ~correct_b))
        only_b = int(np.sum(correct_b & ~correct_a))
        differ = only_a + only_b
        p = float(binomtest(only_a, differ).pvalue) if differ else 1.0
        return cls(len(correct_a), *accuracies, only_a, only_b, p)

    def sentence(self, a: str, b: str) -> str:
        """Returns what follows for networks called `a` and `b`."""
        chance = f"by chance with p = {self.p:.3g}."
        if self.p >= SIGNIFICANT:
            told = f"{a} and {b} cannot be told apart"
            return f"{told}: a difference as large as this comes {chance}"
        better, worse = (a, b) if self.only_a > self.only_b else (b, a)
        told = f"{better} is better than {worse}: if they were equally good, a"
        return f"{told} difference as large as this would come {chance}"


def compare_predictions(a: Predictions, b: Predictions) -> McNemar:
    """Tests two prediction files about the same images, in any order.

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
    rows_b = [order_b[name] for name in a.ids]
    for name, i, j in zip(a.ids, a.labels, b.labels[rows_b], strict=True):
        if a.class_names[i] != b.class_names[j]:
            raise UserError(
                f"image {name!r} is {a.class_names[i]} in the first file and "
                f"{b.class_names[j]} in the second: evaluate both runs on the same "
                f"data set"
            )
    return McNemar.of(a.correct, b.correct[rows_b])


def _positions(predictions: Predictions, which: str) -> dict[str, int]:
    [(name, count)] = Counter(predictions.ids).most_common(1)
    if count > 1:
        raise UserError(
            f"{name!r} occurs {count} times in the {which} file: images can only be "
            f"matched where each has a name of its own"
        )
    return {name: i for i, name in enumerate(predictions.ids)}
