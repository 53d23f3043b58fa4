"""Temperature scaling: confidence that means what it says."""

from __future__ import annotations

import numpy as np
from scipy import optimize

from qcs_jax.metrics.counts import log_softmax

LOWEST, HIGHEST = 1e-2, 1e2


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The T that minimises the mean negative log likelihood of `logits / T`.

    The likelihood has one optimum in 1 / T; it is searched between `LOWEST` and
    `HIGHEST`, where it lies at an end for images that are all right or all wrong.

    Args:
      logits: `[m, k]` of held-out images, never of those that are reported.
      labels: int `[m]`.
    """
    rows = np.arange(len(labels))

    def nll(log_t: float) -> float:
        scaled = logits.astype(np.float64) / np.exp(log_t)
        return -float(log_softmax(scaled)[rows, labels].mean())

    bounds = np.log([LOWEST, HIGHEST])
    found = optimize.minimize_scalar(
        nll, bounds=bounds, method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(found.x))
