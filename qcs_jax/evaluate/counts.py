"""Classification metrics from counts over a split."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from qcs_jax.system.errors import UserError

BINS = 15  # of confidence, for the calibration error

# Sums of real numbers are kept as whole multiples of this, so that they come out the
# same in whatever order examples are counted.
UNIT = 2.0**-30


class NotFiniteError(UserError, FloatingPointError):
    """A network gives logits that are no finite numbers."""


@dataclasses.dataclass(frozen=True)
class Counts:
    """Sums over examples, exact; real numbers are counted in `UNIT`."""

    confusion: np.ndarray  # int64 [k, k], examples of a class (row) by prediction
    nll: int  # negative log likelihoods, nats
    brier: int  # squared distances between probabilities and one-hot labels
    bins: np.ndarray  # int64 [BINS, 3], by confidence: examples, confidence, hits

    @classmethod
    def of(cls, log_probabilities: np.ndarray, labels: np.ndarray) -> Counts:
        """Counts examples, by log p `[m, k]` (or logits) and labels, int `[m]`."""
        log_p = log_softmax(log_probabilities)
        m, k = log_p.shape
        p = np.exp(log_p)
        prediction = np.argmax(log_probabilities, axis=-1)
        confusion = np.zeros((k, k), np.int64)
        np.add.at(confusion, (labels, prediction), 1)
        confidence = p[np.arange(m), prediction]
        hit = (prediction == labels).astype(np.int64)
        columns = np.stack([np.ones(m, np.int64), _units(confidence), hit], axis=-1)
        bins = np.zeros((BINS, 3), np.int64)
        np.add.at(bins, bin_of(confidence), columns)
        nll = _units(-log_p[np.arange(m), labels])
        brier = _units(((p - np.eye(k)[labels]) ** 2).sum(axis=-1))
        return cls(confusion, int(nll.sum()), int(brier.sum()), bins)

    def metrics(self) -> dict[str, float]:
        """Returns scalars between 0 and 1, but `nll` (nats) and `brier` (0 to 2).

        accuracy; mean_class_accuracy (recall averaged over the classes that have
        examples); macro_f1 (averaged over classes that have examples or predictions);
        nll; brier; ece (expected calibration error); examples. And what accuracy is to
        be seen beside: most_frequent (that of always answering the class with most
        examples) and chance (1 / k). Raises ValueError if nothing was counted.
        """
        total = int(self.confusion.sum())
        if not total:
            raise ValueError("no example was counted: there is nothing to measure")
        gaps = np.abs(self.bins[:, 1] * UNIT - self.bins[:, 2]).sum()
        return {name: float(x) for name, x in rates(self.confusion).items()} | {
            "nll": float(self.nll * UNIT / total),
            "brier": float(self.brier * UNIT / total),
            "ece": float(gaps / total),
            "examples": total,
            "most_frequent": float(self.confusion.sum(1).max() / total),
            "chance": 1 / len(self.confusion),
        }

    def per_class(self) -> list[dict[str, Any]]:
        """Returns examples, predictions, precision, recall and f1 or None of each."""
        hits = np.diag(self.confusion)
        actual, predicted = self.confusion.sum(1), self.confusion.sum(0)
        return [
            {
                "examples": int(a),
                "predictions": int(p),
                "precision": float(h / p) if p else None,
                "recall": float(h / a) if a else None,
                "f1": float(2 * h / (a + p)) if a + p else None,
            }
            for h, a, p in zip(hits, actual, predicted, strict=True)
        ]


def bin_of(confidence: np.ndarray) -> np.ndarray:
    """Returns which of `BINS` a confidence between 0 and 1 falls into, int."""
    return np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)


def rates(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Returns accuracy, mean_class_accuracy and macro_f1, float64 `[...]` each.

    Of confusion matrices int `[..., k, k]`, with at least one example each.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    actual, predicted = confusion.sum(-1), confusion.sum(-2)
    recall = hits / np.maximum(actual, 1)
    f1 = 2 * hits / np.maximum(actual + predicted, 1)
    return {
        "accuracy": hits.sum(-1) / actual.sum(-1),
        "mean_class_accuracy": recall.sum(-1) / (actual > 0).sum(-1),
        "macro_f1": f1.sum(-1) / (actual + predicted > 0).sum(-1),
    }


def finite(logits: np.ndarray) -> np.ndarray:
    """Returns `[m, k]` logits as they are; raises NotFiniteError unless all finite."""
    if wrong := np.count_nonzero(~np.isfinite(logits).all(axis=-1)):
        raise NotFiniteError(
            f"what the network says of {wrong} of {len(logits)} images is not finite: "
            f"its weights are not, or too large"
        )
    return logits


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Returns float64 logarithms of the probabilities, over the last axis."""
    x = finite(logits).astype(np.float64)
    x = x - x.max(axis=-1, keepdims=True)  # the exponentials do not overflow
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Returns the float64 softmax over the last axis."""
    return np.exp(log_softmax(logits))


def _units(x: np.ndarray) -> np.ndarray:
    return np.rint(x / UNIT).astype(np.int64)
