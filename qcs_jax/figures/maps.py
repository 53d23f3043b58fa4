"""Faces, and what the network compares and attends to in them.

Figures 4, 6, 8, 9 and 13 of the paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from qcs_jax.figures import style
from qcs_jax.predict.interaction import LEVELS, Comparison, on_image

IMPORTANCE = "importance\n(1: all positions alike)"
ATTENTION = "attention w × N\n(1: all positions alike)"
_COMPARED = {
    "products": "dot product / √C",
    "similarities": "similarity S",
    "distances": "distance D",
}


@style.styled()
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
    figure, axes, text = _grid(k + 1, k + 1, class_names, above=0.35)
    axes[0, 0].set_axis_off()
    for c, name in enumerate(class_names):
        style.show_face(axes[0, c + 1], anchors[c])
        axes[0, c + 1].set_title(style.wrapped(name), fontsize=text)
        style.show_face(axes[c + 1, 0], partners[c])
        axes[c + 1, 0].set_ylabel(style.wrapped(name), fontsize=text)
        for r in range(k):
            style.show_map(axes[r + 1, c + 1], anchors[c], maps[r, c], norm)
        same_class = axes[c + 1, c + 1].spines
        same_class[:].set(visible=True, color=style.COLORS[1], linewidth=1.5)
    figure.suptitle("anchor (key)", fontsize=8)
    figure.supylabel("compared with", fontsize=8)
    style.map_scale(figure, axes, norm, IMPORTANCE)
    return figure


@style.styled()
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
    figure, axes, text = _grid(len(maps) + 1, len(faces), class_names)
    for c, name in enumerate(class_names):
        style.show_face(axes[0, c], faces[c])
        axes[0, c].set_title(style.wrapped(name), fontsize=text)
        for row, level in enumerate(maps, start=1):
            style.show_map(axes[row, c], faces[c], level[c], norm)
    for row, name in enumerate(LEVELS, start=1):
        axes[row, 0].set_ylabel(f"{name} level", fontsize=7)
    style.map_scale(figure, axes, norm, ATTENTION)
    return figure


@style.styled()
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
    maps = on_image(weights * weights.shape[-1], pair.shape[1])
    norm = style.map_range(maps)
    names = [pair_class, *negative_classes]
    figure, axes, text = _grid(3, len(names), names)
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


@style.styled()
def matrices(
    anchor: np.ndarray,
    partners: np.ndarray,
    compared: Comparison,
    relations: Sequence[str],
    class_names: Sequence[str],
) -> style.Figure:
    """An anchor compared with p images, each by dot products, by S and by D.

    The columns of dot products and of S are Figure 4; S of the same class beside D of a
    different one are Figure 6. A column has one colour scale.

    Args:
      anchor: uint8 `[s, s, 3]`.
      partners: uint8 `[p, s, s, 3]`.
      compared: Comparison of the anchor with each partner.
      relations: How each partner is related to the anchor.
      class_names: 1 + p names: the class of the anchor and of each partner.
    """
    p = len(partners)
    figure = style.Figure(figsize=(style.WIDTH, 1.65 * p + 0.6))
    axes = figure.subplots(p, 5, squeeze=False, width_ratios=(0.65, 0.65, 1, 1, 1))
    for row in range(p):
        _face(axes[row, 0], anchor, "anchor", class_names[0])
        _face(axes[row, 1], partners[row], relations[row], class_names[1 + row])
        axes[row, 2].set_ylabel("anchor position")
    for cells, (field, label) in zip(axes.T[2:], _COMPARED.items(), strict=True):
        values = getattr(compared, field)
        norm = style.range_of(values)
        # A tick where a row of the token grid begins.
        ticks = np.arange(0, values.shape[-1], math.isqrt(values.shape[-1]))
        for cell, matrix in zip(cells, values, strict=True):
            drawn = cell.imshow(matrix, cmap=style.MATRIX, norm=norm)
            cell.spines[:].set_visible(False)
            cell.set_xticks(ticks, labels=ticks)
            cell.set_yticks(ticks, labels=ticks)
        cells[-1].set_xlabel("partner position")
        where: dict[str, Any] = dict(ax=cells, location="bottom", aspect=20, pad=0.01)
        figure.colorbar(drawn, label=label, **where).outline.set_visible(False)
    return figure


def _face(axes: style.Axes, face: np.ndarray, role: str, class_name: str) -> None:
    style.show_face(axes, face)
    axes.set_title(role, fontsize=7)
    text = style.label_size([class_name], 0.95)
    axes.set_xlabel(style.wrapped(class_name), fontsize=text)


def _grid(
    rows: int, columns: int, names: Sequence[str], above: float = 0.2
) -> tuple[style.Figure, np.ndarray, float]:
    """Returns a figure, axes for pictures, and a font size for names above them."""
    cell = min(style.WIDTH / (columns + 1), 1.2)
    figure = style.Figure(figsize=(cell * (columns + 1), cell * rows + above))
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, axes, style.label_size(names, cell)
