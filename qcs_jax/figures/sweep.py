"""Accuracy against a field that was swept."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pandas as pd

from qcs_jax.figures import style


@dataclasses.dataclass(frozen=True)
class Curve:
    """One variant.

    Attributes:
      label: What it is called.
      at: Where on the axis it was measured.
      found: Its accuracy at each in percent, and the ends of its intervals: images_low,
        images_high, seeds_low and seeds_high.
    """

    label: str
    at: Sequence[float]
    found: pd.DataFrame


@style.styled()
def curves(
    variants: Sequence[Curve],
    axis: str,
    chance: float | None = None,
    ticks: Sequence[str] | None = None,
) -> style.Figure:
    """Draws mean accuracies, with intervals over images (bands) and seeds (bars).

    Args:
      variants: What is drawn, each in a colour of its own; of two places or more.
      axis: What the axis of the swept field is called.
      chance: Accuracy of guessing in percent; drawn as a dashed line.
      ticks: Names of the places 0, 1, ... where these are no numbers.
    """
    figure = style.Figure(figsize=(style.WIDTH, 3.2))
    axes = figure.subplots()
    places = sorted({x for variant in variants for x in variant.at})
    reach = 0.004 * (places[-1] - places[0])
    for i, variant in enumerate(variants):
        # Bars of several variants would cover each other.
        x = [at + reach * (i - (len(variants) - 1) / 2) for at in variant.at]
        found = variant.found
        color = style.COLORS[i % len(style.COLORS)]
        axes.fill_between(
            x, found["images_low"], found["images_high"], color=color, alpha=0.15, lw=0
        )
        marker = style.MARKERS[i % len(style.MARKERS)]
        axes.plot(
            x, found["accuracy"], color=color, marker=marker, ms=4, label=variant.label
        )
        axes.vlines(x, found["seeds_low"], found["seeds_high"], color=color, lw=0.8)
    if chance is not None:
        axes.axhline(chance, color="#999999", lw=0.8, ls="--", label="chance")
    axes.set(xlabel=axis, ylabel="accuracy (%)", ylim=(0, 100))
    if ticks is not None:
        axes.set_xticks(range(len(ticks)), ticks)
    axes.grid(axis="y", color="#E5E5E5", lw=0.5)
    axes.legend()
    return figure
