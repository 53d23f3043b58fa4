"""How often answers are right, by how confident they are."""

from __future__ import annotations

import numpy as np

from qcs_jax.metrics.counts import BINS, UNIT
from qcs_jax.visualize import style


@style.styled()
def diagram(bins: np.ndarray) -> style.Figure:
    """Draws a reliability diagram, and how many answers each bar stands for.

    Args:
      bins: `Counts.bins`, `[BINS, 3]`.
    """
    images, confidence, hits = bins.T
    some = images > 0
    mean = confidence[some] * UNIT / images[some]
    right = hits[some] / images[some]
    middle = (np.flatnonzero(some) + 0.5) / BINS
    figure = style.Figure(figsize=(style.WIDTH * 0.6, 3.2))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.bar(middle, 100 * right, width=0.9 / BINS, color=style.COLORS[0])
    upper.plot([0, 1], [0, 100], color="#999999", lw=0.8, ls="--", label="calibrated")
    upper.plot(
        mean, 100 * right, "o", ms=3, color=style.COLORS[1], label="by confidence"
    )
    upper.set(ylabel="right (%)", ylim=(0, 100), xlim=(0, 1))
    upper.legend(loc="upper left")
    lower.bar(middle, images[some], width=0.9 / BINS, color="#999999")
    lower.set(xlabel="confidence", ylabel="answers")
    return figure
