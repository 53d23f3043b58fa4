"""Confidence intervals of metrics, by the bootstrap."""

from __future__ import annotations

import numpy as np

from qcs_jax.metrics import counts as metrics

LEVEL = 0.95
RESAMPLES = 10_000


def intervals(
    confusion: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, list[float]]:
    """Percentile intervals of what a confusion matrix tells.

    To draw N of N examples with replacement and count them anew is to draw the cells
    of their confusion matrix from a multinomial distribution, so the counts suffice.

    Args:
      confusion: int `[k, k]` with at least one example.
      seed: Of the draws.
      resamples: Number of draws.

    Returns:
      `[low, high]` at `LEVEL` for accuracy, mean_class_accuracy and macro_f1.
    """
    confusion = np.asarray(confusion, np.int64)
    total = int(confusion.sum())
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(total, confusion.reshape(-1) / total, size=resamples)
    values = metrics.rates(drawn.reshape(resamples, *confusion.shape))
    tail = (1 - LEVEL) / 2
    return {
        name: np.quantile(x, [tail, 1 - tail]).tolist() for name, x in values.items()
    }
