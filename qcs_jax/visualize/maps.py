"""Faces under what the network compares and attends to (Figures 8, 9 and 13)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qcs_jax.predict.interaction import LEVELS, on_image
from qcs_jax.visualize import style

IMPORTANCE = "importance\n(1: all positions alike)"
ATTENTION = "attention w × N\n(1: all positions alike)"


@style.styled
def heatmaps(
    anchors: np.ndarray,
    partners: np.ndarray,
    importance: np.ndarray,
    class_names: Sequence[str],
) -> style.Figure:
    """What faces of each class have in common with faces of each other (Figure 8).

    A column is an anchor (Key), a row what it is compared with. On the diagonal that is
    another face of its class, and the map shows distinctive features; elsewhere it
    shows redundant ones.

    Args:
      anchors: uint8 `[k, s, s, 3]`, a face of each class.
      partners: uint8 `[k, s, s, 3]`, another one of each.
      importance: `[k, k, N]`, row r, column c: of the positions of anchor c compared
        with partner r (`Comparison.importance`).
      class_names: k names.
    """
    k = len(class_names)
    maps = on_image(importance, anchors.shape[1])
    norm = style.map_range(maps)
    cell = style.cell_of(k + 1)
    text = style.label_size(class_names, cell)
    figure = style.Figure(figsize=(cell * (k + 2), cell * (k + 1) + 0.35))
    axes = figure.subplots(k + 1, k + 1, squeeze=False)
    axes[0, 0].set_axis_off()
    for c, name in enumerate(class_names):
        style.show_face(axes[0, c + 1], anchors[c])
        axes[0, c + 1].set_title(style.wrapped(name), fontsize=text)
        style.show_face(axes[c + 1, 0], partners[c])
        axes[c + 1, 0].set_ylabel(style.wrapped(name), fontsize=text)
        for r in range(k):
            style.show_map(axes[r + 1, c + 1], anchors[c], maps[r, c], norm)
        _frame(axes[c + 1, c + 1])
    figure.suptitle("anchor (key)", fontsize=8)
    figure.supylabel("compared with", fontsize=8)
    style.map_scale(figure, axes, norm, IMPORTANCE)
    return figure


@style.styled
def attention(
    faces: np.ndarray, weights: Sequence[np.ndarray], class_names: Sequence[str]
) -> style.Figure:
    """A face of each class and where each level of the pyramid attends (Figure 9).

    Args:
      faces: uint8 `[k, s, s, 3]`.
      weights: `[k, N]` for each level, summing to 1 over N.
      class_names: k names.
    """
    maps = [on_image(w * w.shape[-1], faces.shape[1]) for w in weights]
    norm = style.map_range(*maps)
    cell = style.cell_of(len(faces))
    text = style.label_size(class_names, cell)
    height = cell * (len(maps) + 1) + 0.2
    figure = style.Figure(figsize=(cell * (len(faces) + 1), height))
    axes = figure.subplots(len(maps) + 1, len(faces), squeeze=False)
    for c, name in enumerate(class_names):
        style.show_face(axes[0, c], faces[c])
        axes[0, c].set_title(style.wrapped(name), fontsize=text)
        for row, level in enumerate(maps, start=1):
            style.show_map(axes[row, c], faces[c], level[c], norm)
    for row, name in enumerate(LEVELS, start=1):
        axes[row, 0].set_ylabel(f"{name} level", fontsize=7)
    style.map_scale(figure, axes, norm, ATTENTION)
    return figure


@style.styled
def negatives(
    pair: np.ndarray,
    negatives: np.ndarray,
    weights: np.ndarray,
    pair_class: str,
    negative_classes: Sequence[str],
) -> style.Figure:
    """Two faces of one class and how their attention moves with the negative (Fig. 13).

    Args:
      pair: uint8 `[2, s, s, 3]`, anchor and positive.
      negatives: uint8 `[c, s, s, 3]`, a face of each other class.
      weights: `[2, c, N]`, attention of anchor and positive beside each negative.
      pair_class: Name of the pair's class.
      negative_classes: c names.
    """
    count = len(negatives)
    maps = on_image(weights * weights.shape[-1], pair.shape[1])
    norm = style.map_range(maps)
    cell = style.cell_of(count + 1)
    text = style.label_size([pair_class, *negative_classes], cell)
    figure = style.Figure(figsize=(cell * (count + 2), 3 * cell + 0.2))
    axes = figure.subplots(3, count + 1, squeeze=False)
    axes[0, 0].set_axis_off()
    for row, name in enumerate(("anchor", "positive"), start=1):
        style.show_face(axes[row, 0], pair[row - 1])
        label = f"{name}\n{style.wrapped(pair_class)}"
        axes[row, 0].set_ylabel(label, fontsize=text)
    for c, name in enumerate(negative_classes, start=1):
        style.show_face(axes[0, c], negatives[c - 1])
        axes[0, c].set_title(style.wrapped(name), fontsize=text)
        for row in (1, 2):
            style.show_map(axes[row, c], pair[row - 1], maps[row - 1, c - 1], norm)
    axes[0, 0].text(0.95, 0.5, "negative", fontsize=text, ha="right", va="center")
    style.map_scale(figure, axes, norm, ATTENTION)
    return figure


def _frame(axes: style.Axes) -> None:
    """Marks a cell."""
    axes.spines[:].set(visible=True, color=style.COLORS[1], linewidth=1.5)
