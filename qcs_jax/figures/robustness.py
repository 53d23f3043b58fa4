"""Accuracy on worse images, and what they look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qcs_jax.figures import style
from qcs_jax.images.corruptions import CORRUPTIONS, SEVERITIES, corrupt


@style.styled()
def curves(accuracy: Mapping[str, Sequence[float]], clean: float) -> style.Figure:
    """Accuracy against severity, a panel for every corruption.

    Args:
      accuracy: Corruption -> accuracy at each severity.
      clean: Accuracy at severity 0.
    """
    columns = 5
    rows = -(-len(accuracy) // columns)
    figure = style.Figure(figsize=(style.WIDTH, 1.45 * rows + 0.2))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(accuracy) :]:
        axes.set_axis_off()
    for axes, (name, values) in zip(panels.flat, accuracy.items(), strict=False):
        severity = np.arange(len(values) + 1)
        axes.axhline(100 * clean, color="#BBBBBB", lw=0.8, ls="--")
        axes.plot(severity, 100 * np.array([clean, *values]), marker="o", ms=3, lw=1.2)
        axes.set(title=name, xticks=severity)
        axes.grid(axis="y", color="#E5E5E5", lw=0.5)
    panels[0, 0].set_ylim(0, None)
    figure.supxlabel("severity (0: the images as they are)", fontsize=8)
    figure.supylabel("accuracy (%)", fontsize=8)
    return figure


@style.styled()
def strip(face: np.ndarray, key: str, landmarks: np.ndarray) -> style.Figure:
    """One face as it is, and with every corruption at every severity.

    Args:
      face: uint8 `[s, s, 3]`, before the centre crop.
      key: Its name.
      landmarks: See `corruptions.corrupt`.
    """
    columns = len(SEVERITIES) + 1
    figure = style.Figure(figsize=(0.78 * columns + 1.1, 0.78 * len(CORRUPTIONS) + 0.3))
    axes = figure.subplots(len(CORRUPTIONS), columns, squeeze=False)
    for row, name in zip(axes, CORRUPTIONS, strict=True):
        style.show_face(row[0], face)
        for cell, severity in zip(row[1:], SEVERITIES, strict=True):
            style.show_face(cell, corrupt(face, name, severity, key, landmarks))
        row[0].set_ylabel(name, fontsize=7, rotation=0, ha="right", va="center")
    for cell, title in zip(axes[0], ["as it is", *SEVERITIES], strict=True):
        cell.set_title(str(title), fontsize=7)
    return figure
