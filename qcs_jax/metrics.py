"""Classification metrics from counts that add up over batches, devices and hosts."""

from __future__ import annotations

import dataclasses

import numpy as np

BINS = 15  # of confidence, for the calibration error


@dataclasses.dataclass(frozen=True)
class Counts:
    """Sums over examples; `+` merges the counts of two sets.

    Attributes:
      confusion: int64 `[k, k]`, examples of each class (row) by prediction (column).
      nll: Sum of negative log likelihoods, nats.
      brier: Sum of squared distances between probabilities and one-hot labels.
      bins: float64 `[BINS, 3]`, by confidence: examples, sum of confidence, hits.
    """

    confusion: np.ndarray
    nll: float
    brier: float
    bins: np.ndarray

    @classmethod
    def zero(cls, num_classes: int) -> Counts:
        """Counts of no example."""
        confusion = np.zeros((num_classes, num_classes), np.int64)
        return cls(confusion, 0.0, 0.0, np.zeros((BINS, 3)))

    @classmethod
    def of(cls, logits: np.ndarray, labels: np.ndarray) -> Counts:
        """Counts of some examples, computed in float64.

        Args:
          logits: `[m, k]`.
          labels: int `[m]`.
        """
        m, k = logits.shape
        log_p = log_softmax(logits)
        p = np.exp(log_p)
        prediction = np.argmax(logits, axis=-1)
        confusion = np.zeros((k, k), np.int64)
        np.add.at(confusion, (labels, prediction), 1)
        confidence = p[np.arange(m), prediction]
        bins = np.zeros((BINS, 3))
        place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
        hit = prediction == labels
        np.add.at(bins, place, np.stack([np.ones(m), confidence, hit], axis=-1))
        return cls(
            confusion,
            float(-log_p[np.arange(m), labels].sum()),
            float(((p - np.eye(k)[labels]) ** 2).sum()),
            bins,
        )

    def __add__(self, other: Counts) -> Counts:
        fields = [f.name for f in dataclasses.fields(self)]
        return Counts(*(getattr(self, f) + getattr(other, f) for f in fields))

    def metrics(self) -> dict[str, float]:
        """Scalars, all between 0 and 1 except `nll` (nats) and `brier` (0 to 2).

        accuracy; mean_class_accuracy (recall averaged over the classes that have
        examples); macro_f1 (averaged over classes that have examples or predictions);
        nll; brier; ece (expected calibration error); examples.

        Raises:
          ValueError: if nothing was counted.
        """
        total = int(self.confusion.sum())
        if not total:
            raise ValueError("no example was counted: there is nothing to measure")
        hits = np.diag(self.confusion).astype(float)
        actual, predicted = self.confusion.sum(1), self.confusion.sum(0)
        recall = hits[actual > 0] / actual[actual > 0]
        either = actual + predicted > 0
        f1 = 2 * hits[either] / (actual + predicted)[either]
        gaps = np.abs(self.bins[:, 1] - self.bins[:, 2]).sum()
        return {
            "accuracy": float(hits.sum() / total),
            "mean_class_accuracy": float(recall.mean()),
            "macro_f1": float(f1.mean()),
            "nll": self.nll / total,
            "brier": self.brier / total,
            "ece": float(gaps / total),
            "examples": total,
        }


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Float64 logarithms of the probabilities, over the last axis."""
    shifted = logits.astype(np.float64)
    shifted = shifted - shifted.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
