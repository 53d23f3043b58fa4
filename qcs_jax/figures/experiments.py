"""A matrix of networks and data sets, as colours and numbers."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from matplotlib.patches import Rectangle

from qcs_jax.figures import style


@style.styled()
def matrix(
    accuracy: np.ndarray,
    mean_class: np.ndarray,
    networks: Sequence[str],
    datasets: Sequence[str],
    own: Collection[tuple[int, int]] = (),
) -> style.Figure:
    """Accuracy of each network on each data set, with the mean over classes below it.

    Args:
      accuracy: float `[n, m]`, between 0 and 1; NaN where nothing was measured.
      mean_class: float `[n, m]`, likewise.
      networks: n names.
      datasets: m names.
      own: Row and column of what is the network's own test; it gets a frame.
    """
    n, m = accuracy.shape
    figure = style.Figure(figsize=(min(1.15 * m + 3.0, style.WIDTH), 0.5 * n + 1.6))
    axes = figure.subplots()
    drawn = axes.imshow(
        100 * np.ma.masked_invalid(accuracy), cmap=style.COUNTS, vmin=0, vmax=100
    )
    axes.set_aspect("auto")
    axes.set_facecolor("#EEEEEE")  # of what was not measured
    for i, j in np.ndindex(n, m):
        where: dict[str, Any] = dict(color="black", ha="center", va="center")
        if math.isnan(accuracy[i, j]):
            axes.text(j, i, "–", **where)
            continue
        if accuracy[i, j] > 0.55:
            where["color"] = "white"
        axes.text(j, i - 0.12, f"{100 * accuracy[i, j]:.1f}", **where)
        below = f"class mean {100 * mean_class[i, j]:.1f}"
        axes.text(j, i + 0.22, below, fontsize=5.5, **where)
    for i, j in own:
        frame = Rectangle((j - 0.48, i - 0.47), 0.96, 0.94, fill=False, lw=1.5)
        frame.set_edgecolor(style.COLORS[1])
        axes.add_patch(frame)
    rotated: dict[str, Any] = dict(rotation=30, ha="right", rotation_mode="anchor")
    axes.set_xticks(range(m), labels=[textwrap.fill(x, 28) for x in datasets])
    axes.tick_params(length=0)
    for label in axes.get_xticklabels():
        label.set(**rotated)
    axes.set_yticks(range(n), labels=[textwrap.fill(x, 28) for x in networks])
    axes.spines[:].set_visible(False)
    axes.set(xlabel="tested on", ylabel="network")
    title = "accuracy, and its mean over classes, in %"
    axes.set_title(f"{title}; framed: its own test" if own else title)
    bar = figure.colorbar(drawn, ax=axes, label="accuracy (%)", shrink=0.9)
    bar.outline.set_visible(False)
    return figure
