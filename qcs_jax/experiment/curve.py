"""Draws what a sweep found."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from qcs_jax.evaluate.lines import Line
from qcs_jax.experiment.rows import Sweep
from qcs_jax.figures import experiments, style


def draw(
    sweep: Sweep, lines: Sequence[Line | None], folder: pathlib.Path
) -> pathlib.Path | None:
    """Writes `folder/sweep.png` and `.pdf`.

    Args:
      sweep: What was swept.
      lines: All rows at the first value, then at the second, and so on; None for those
        without a run.
      folder: Where to.

    Returns:
      The first file, or None before runs at two values were evaluated.
    """
    rows = len(lines) // len(sweep.values)
    variants = []
    for row in range(rows):
        measured = [
            (at, line)
            for at, line in zip(sweep.at, lines[row::rows], strict=True)
            if line is not None and line.evidence is not None
        ]
        measured.sort(key=lambda point: point[0])
        points = [(at, x.evidence.accuracy) for at, x in measured if x.evidence]
        if points:
            variants.append((measured[0][1].label, points))
    if len({at for _, points in variants for at, _ in points}) < 2:
        return None
    chance = next((line.chance for line in lines if line), None)
    ticks = None if sweep.numbered else [str(value) for value in sweep.values]
    figure = experiments.sweep(variants, sweep.axis, chance, ticks)
    return style.save(figure, folder, "sweep")[0]
