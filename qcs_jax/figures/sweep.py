"""Accuracy against a field that was swept."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from qcs_jax.evaluate.paired import Certainty
from qcs_jax.figures import style


@dataclasses.dataclass(frozen=True)
class Curve:
    """One variant.

    Attributes:
      label: What it is called.
      at: Where on the axis it was measured.
      found: Its accuracy at each.
    """

    label: str
    at: Sequence[float]
    found: Sequence[Certainty]


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
      chance: Accuracy of guessing; drawn as a dashed line.
      ticks: Names of the places 0, 1, ... where these are no numbers.
    """
    figure = style.Figure(figsize=(style.WIDTH, 3.2))
    axes = figure.subplots()
    places = sorted({x for variant in variants for x in variant.at})
    reach = 0.004 * (places[-1] - places[0])
    for i, variant in enumerate(variants):
        # Bars of several variants would cover each other.
        x = [at + reach * (i - (len(variants) - 1) / 2) for at in variant.at]
        mean = [100 * c.mean for c in variant.found]
        low, high = zip(*((100 * a, 100 * b) for a, b in _images(variant)), strict=True)
        color = style.COLORS[i % len(style.COLORS)]
        axes.fill_between(x, low, high, color=color, alpha=0.15, lw=0)
        marker = style.MARKERS[i % len(style.MARKERS)]
        axes.plot(x, mean, color=color, marker=marker, ms=4, label=variant.label)
        for place, certainty in zip(x, variant.found, strict=True):
            if certainty.seeds is not None:
                ends = [100 * end for end in certainty.seeds]
                axes.plot([place] * 2, ends, color=color, lw=0.8)
    if chance is not None:
        axes.axhline(100 * chance, color="#999999", lw=0.8, ls="--", label="chance")
    axes.set(xlabel=axis, ylabel="accuracy (%)", ylim=(0, 100))
    if ticks is not None:
        axes.set_xticks(range(len(ticks)), ticks)
    axes.grid(axis="y", color="#E5E5E5", lw=0.5)
    axes.legend()
    return figure


def _images(variant: Curve) -> list[tuple[float, float]]:
    return [certainty.images for certainty in variant.found]
