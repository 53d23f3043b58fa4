"""Charts of several runs: a field that was swept, and networks on other data sets."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from matplotlib.patches import Rectangle

from qcs_jax.figures import style


@style.styled()
def sweep(
    variants: Sequence[tuple[str, Any]],
    axis: str,
    chance: float | None = None,
    ticks: Sequence[str] | None = None,
) -> style.Figure:
    """Draws mean accuracies, with intervals over images (bands) and seeds (bars).

    In percent. Of each variant its label, and columns: its places `at` on the `axis`,
    of two or more; `accuracy` there; and the ends of its intervals, images_low,
    images_high, seeds_low and seeds_high (NaN for a single seed). `ticks` names the
    places 0, 1, ... where these are no numbers. `chance`, the accuracy of guessing, is
    a dashed line.
    """
    figure = style.Figure(figsize=(style.WIDTH, 3.2))
    axes = figure.subplots()
    places = [at for _, columns in variants for at in columns["at"]]
    reach = 0.004 * (max(places) - min(places))
    looks = style.looks(len(variants))
    for i, ((label, columns), look) in enumerate(zip(variants, looks, strict=True)):
        # Bars of several variants would cover each other.
        x = np.array(columns["at"]) + reach * (i - (len(variants) - 1) / 2)
        band = columns["images_low"], columns["images_high"]
        axes.fill_between(x, *band, color=look["color"], alpha=0.15, lw=0)
        axes.plot(x, columns["accuracy"], ms=4, label=label, **look)
        bars = columns["seeds_low"], columns["seeds_high"]
        axes.vlines(x, *bars, color=look["color"], lw=0.8)
    if chance is not None:
        axes.axhline(chance, color="#999999", lw=0.8, ls="--", label="chance")
    axes.set(xlabel=axis, ylabel="accuracy (%)", ylim=(0, 100))
    if ticks is not None:
        axes.set_xticks(range(len(ticks)), ticks)
    axes.grid(axis="y")
    axes.legend()
    return figure


@style.styled()
def transfer(
    accuracy: np.ndarray,
    mean_class: np.ndarray,
    networks: Sequence[str],
    datasets: Sequence[str],
    own: Collection[tuple[int, int]] = (),
) -> style.Figure:
    """Accuracy of each network on each data set, with the mean over classes below it.

    Both float `[n, m]` between 0 and 1, NaN where nothing was measured. `own` has row
    and column of what is the network's own test; it gets a frame.
    """
    n, m = accuracy.shape
    figure = style.Figure(figsize=(min(1.15 * m + 3.0, style.WIDTH), 0.5 * n + 1.6))
    axes = figure.subplots()
    percent = 100 * np.ma.masked_invalid(accuracy)
    image = axes.imshow(percent, cmap=style.COUNTS, vmin=0, vmax=100, aspect="auto")
    axes.set_facecolor("#EEEEEE")  # of what was not measured
    for i, j in np.argwhere(np.isfinite(accuracy)):
        below = f"class mean {100 * mean_class[i, j]:.1f}"
        style.show_number(axes, i, j, percent[i, j], below)
    for i, j in np.argwhere(np.isnan(accuracy)):
        axes.text(j, i, "–", ha="center", va="center")
    for i, j in own:
        frame = Rectangle((j - 0.48, i - 0.47), 0.96, 0.94, fill=False, lw=1.5)
        frame.set_edgecolor(style.COLORS[1])
        axes.add_patch(frame)
    style.label_cells(
        axes,
        [textwrap.fill(name, 28) for name in networks],
        [textwrap.fill(name, 28) for name in datasets],
        rotation=30,
    )
    title = "accuracy, and its mean over classes, in %"
    axes.set(xlabel="tested on", ylabel="network")
    axes.set_title(f"{title}; framed: its own test" if own else title)
    style.color_bar(figure, image, "accuracy (%)", ax=axes, shrink=0.9)
    return figure
