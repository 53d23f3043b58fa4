"""Writes a matrix into a folder."""

from __future__ import annotations

import pathlib

import numpy as np

from qcs_jax.experiment.transfer import table
from qcs_jax.figures import experiments, style
from qcs_jax.system import files


def write(rows: table.Rows, folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes `transfer.md`, `.csv`, `.png` and `.svg`; returns them.

    Args:
      rows: From `cells.measure`.
      folder: Created if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"transfer.{kind}" for kind in ("md", "csv", "png", "svg")]
    files.write_text(paths[0], f"# Transfer\n\n{table.markdown(rows)}")
    files.write_text(paths[1], table.csv_text(rows))
    figure = _figure(rows)
    for path in paths[2:]:
        with files.replacing(path) as unfinished:
            unfinished.write_bytes(style.encoded(figure, path.suffix[1:], style.DPI))
    return paths


def _figure(rows: table.Rows) -> style.Figure:
    def values(metric: str) -> np.ndarray:
        return np.array(
            [
                [c.evaluation.measured["metrics"][metric] if c.evaluation else np.nan]
                for row in rows
                for c in row
            ],
            float,
        ).reshape(len(rows), -1)

    return experiments.transfer(
        values("accuracy"),
        values("mean_class_accuracy"),
        [row[0].network for row in rows],
        [cell.column.name for cell in rows[0]],
        [(i, j) for i, row in enumerate(rows) for j, c in enumerate(row) if c.own],
    )
