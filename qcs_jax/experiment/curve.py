"""Draws what a sweep found."""

from __future__ import annotations

import pathlib

import pandas as pd

from qcs_jax.experiment.rows import Sweep
from qcs_jax.figures import style
from qcs_jax.figures.sweep import Curve, curves


def draw(
    sweep: Sweep, shown: pd.DataFrame, folder: pathlib.Path
) -> pathlib.Path | None:
    """Writes `folder/sweep.png` and `.pdf`.

    Args:
      sweep: What was swept.
      shown: What `comparison.show` returns, of all rows at the first value, then at the
        second, and so on; NaN for those without a run.
      folder: Where to.

    Returns:
      The first file, or None before runs at two values were evaluated.
    """
    rows = len(shown) // len(sweep.values)
    places = pd.Series([at for at in sweep.at for _ in range(rows)], shown.index)
    variants = []
    for row in range(rows):
        points = shown.iloc[row::rows].assign(at=places).sort_values("at")
        points = points[points["accuracy"].notna()]
        if len(points):
            label = points["variant"].iloc[0]
            variants.append(Curve(label, points["at"].tolist(), points))
    if len({at for variant in variants for at in variant.at}) < 2:
        return None
    chance = next(iter(shown["chance"].dropna()), None)
    ticks = None if sweep.numbered else [str(value) for value in sweep.values]
    figure = curves(variants, sweep.axis, chance, ticks)
    return style.save(figure, folder, "sweep")[0]
