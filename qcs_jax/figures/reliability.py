"""How often answers are right, by how confident they are."""

from __future__ import annotations

import numpy as np

from qcs_jax.evaluate.counts import BINS, UNIT
from qcs_jax.figures import style


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
    figure = style.Figure(figsize=(style.WIDTH, 2.5))
    parts, counts = figure.subplots(1, 2)
    parts.bar(middle, 100 * right, width=0.9 / BINS, color=style.COLORS[4])
    parts.plot([0, 1], [0, 100], color="#777777", lw=0.8, ls="--", label="calibrated")
    look = dict(marker="o", ms=3, color=style.COLORS[0], lw=0)
    parts.plot(mean, 100 * right, **look, label="mean confidence of a bin")
    parts.set(ylabel="right (%)", ylim=(0, 104))
    parts.legend(loc="upper left")
    counts.bar(middle, images[some], width=0.9 / BINS, color="#AAAAAA")
    counts.set(ylabel="answers")
    for axes in (parts, counts):
        axes.set(xlabel="confidence", xlim=(0, 1))
    return figure
