"""Draws what a sweep found."""

from __future__ import annotations

import math
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
        if measured:
            variants.append((measured[0][1].label, _columns(measured)))
    if len({at for _, columns in variants for at in columns["at"]}) < 2:
        return None
    chances = [100 * x.chance for x in lines if x and x.chance is not None]
    chance = chances[0] if chances else None
    ticks = None if sweep.numbered else [str(value) for value in sweep.values]
    figure = experiments.sweep(variants, sweep.axis, chance, ticks)
    return style.save(figure, folder, "sweep")[0]


def _columns(measured: Sequence[tuple[float, Line]]) -> dict[str, list[float]]:
    """What `experiments.sweep` takes of lines that have evidence."""
    columns: dict[str, list[float]] = {"at": [at for at, _ in measured]}
    found = [line.evidence.accuracy for _, line in measured if line.evidence]
    columns["accuracy"] = [100 * x.mean for x in found]
    for kind, ends in (
        ("images", [x.images for x in found]),
        ("seeds", [x.seeds or (math.nan, math.nan) for x in found]),
    ):
        columns[f"{kind}_low"] = [100 * low for low, _ in ends]
        columns[f"{kind}_high"] = [100 * high for _, high in ends]
    return columns
