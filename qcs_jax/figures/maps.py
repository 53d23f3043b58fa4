"""Faces, and what the network compares and attends to in them.

Figures 4, 6, 8, 9 and 13 of the paper; and faces as they are corrupted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from qcs_jax.figures import style
from qcs_jax.images.corruptions import CORRUPTIONS, SEVERITIES, corrupt
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
    shows redundant ones. Anchors and partners are uint8 `[k, s, s, 3]`, importance is
    `[k, k, N]`: row r, column c of the positions of anchor c compared with partner r.
    """
    names = [style.wrapped(name) for name in class_names]
    figure, axes, _ = _mosaic(
        anchors, names, partners, names, importance, anchors, IMPORTANCE, above=0.35
    )
    for same_class in axes.diagonal()[1:]:
        same_class.spines[:].set(visible=True, color=style.COLORS[1], linewidth=1.5)
    figure.suptitle("anchor (key)", fontsize=8)
    figure.supylabel("compared with", fontsize=8)
    return figure


@style.styled()
def attention(
    faces: np.ndarray, weights: Sequence[np.ndarray], class_names: Sequence[str]
) -> style.Figure:
    """A face of each class and where each level of the pyramid attends (Figure 9).

    Takes faces, uint8 `[k, s, s, 3]`, and weights that sum to 1, `[k, N]` a level.
    """
    titles = [style.wrapped(name) for name in class_names]
    labels = [f"{name} level" for name in LEVELS]
    relative = [w * w.shape[-1] for w in weights]
    return _mosaic(faces, titles, None, labels, relative, faces, ATTENTION)[0]


@style.styled()
def negatives(
    pair: np.ndarray,
    negatives: np.ndarray,
    weights: np.ndarray,
    pair_class: str,
    negative_classes: Sequence[str],
) -> style.Figure:
    """Two faces of one class and how their attention moves with the negative (Fig. 13).

    The pair, uint8 `[2, s, s, 3]`, is anchor and positive; negatives, `[c, s, s, 3]`,
    are a face of each other class; weights, `[2, c, N]`, the pair's attention beside
    each.
    """
    titles = [style.wrapped(name) for name in negative_classes]
    labels = [f"{role}\n{style.wrapped(pair_class)}" for role in ("anchor", "positive")]
    relative = weights * weights.shape[-1]
    figure, axes, size = _mosaic(
        negatives, titles, pair, labels, relative, pair[:, None], ATTENTION
    )
    axes[0, 0].text(0.95, 0.5, "negative", fontsize=size, ha="right", va="center")
    return figure


def _mosaic(
    top: np.ndarray,
    titles: Sequence[str],
    left: np.ndarray | None,
    labels: Sequence[str],
    values: Sequence[np.ndarray] | np.ndarray,
    under: np.ndarray,
    scale: str,
    above: float = 0.2,
) -> tuple[style.Figure, np.ndarray, float]:
    """Maps `[r, c, N]` over faces `[r, c, s, s, 3]`, or what broadcasts to them.

    Above them are c faces, to the left r ones, or none. All have one scale. Returns the
    figure, its axes, and the font size of the titles.
    """
    side = top.shape[1]
    maps = [on_image(row, side) for row in values]
    limits = _limits(np.concatenate([x.ravel() for x in maps]), outside=1)
    rows, columns = len(maps) + 1, len(top) + (left is not None)
    cell = min(style.WIDTH / (columns + 1), 1.2)
    figure = style.Figure(figsize=(cell * (columns + 1), cell * rows + above))
    axes = figure.subplots(rows, columns, squeeze=False)
    size = _label_size([*titles, *labels], cell)
    if left is not None:
        axes[0, 0].set_axis_off()
        for beside, face in zip(axes[1:, 0], left, strict=True):
            _show_face(beside, face)
    for row, label in zip(axes[1:], labels, strict=True):
        row[0].set_ylabel(label, fontsize=size)
    inner = axes[:, columns - len(top) :]
    for head, face, title in zip(inner[0], top, titles, strict=True):
        _show_face(head, face)
        head.set_title(title, fontsize=size)
    faces = np.broadcast_to(under, (len(maps), len(top), *top.shape[1:]))
    look: Any = dict(cmap="viridis", alpha=0.6, **limits)
    for i, j in np.ndindex(faces.shape[:2]):
        grey = faces[i, j] @ np.array([0.299, 0.587, 0.114])
        _show_face(inner[i + 1, j], grey, cmap="gray", vmin=0, vmax=255)
        image = inner[i + 1, j].imshow(maps[i][j], **look)
    place: Any = dict(ax=axes, fraction=0.03, pad=0.02, extend="both")
    bar: Any = style.color_bar(figure, image, scale, **place)
    bar.ax.set_facecolor("#AAAAAA")  # as over skin
    bar.solids.set_edgecolor("none")
    return figure, axes, size


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
    different one are Figure 6. A column has one colour scale. The anchor is uint8
    `[s, s, 3]`, partners are `[p, s, s, 3]`, with a relation each; `class_names` begins
    with the anchor's.
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
        limits = _limits(values)
        # A tick where a row of the token grid begins.
        ticks = np.arange(0, values.shape[-1], math.isqrt(values.shape[-1]))
        for cell, matrix in zip(cells, values, strict=True):
            image = cell.imshow(matrix, cmap="cividis", **limits)
            cell.spines[:].set_visible(False)
            cell.set_xticks(ticks, labels=ticks)
            cell.set_yticks(ticks, labels=ticks)
        cells[-1].set_xlabel("partner position")
        below: dict[str, Any] = dict(ax=cells, location="bottom", aspect=20, pad=0.01)
        style.color_bar(figure, image, label, **below)
    return figure


def _limits(values: np.ndarray, outside: float = 0) -> dict[str, float]:
    """Ends of a colour scale, with so many percent of the values beyond each."""
    low, high = np.percentile(values, [outside, 100 - outside])
    return {"vmin": low, "vmax": high if high > low else low + 1}


def _show_face(axes: Any, face: np.ndarray, **options: Any) -> None:
    """Shows a face without ticks and frame, but labels may follow."""
    axes.imshow(face, **options)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _face(axes: Any, face: np.ndarray, role: str, class_name: str) -> None:
    _show_face(axes, face)
    axes.set_title(role, fontsize=7)
    name = style.wrapped(class_name)
    axes.set_xlabel(name, fontsize=_label_size([name], 0.95))


def _label_size(names: Sequence[str], inches: float) -> float:
    """Font size in points at which all names, in their lines, fit the width."""
    longest = max(len(line) for name in names for line in name.split("\n"))
    return min(7.0, inches * 72 / (0.62 * max(longest, 1)))


@style.styled()
def corruptions(face: np.ndarray, key: str, landmarks: np.ndarray) -> style.Figure:
    """One face, uint8 `[s, s, 3]`, and every corruption of it; see `corrupt`."""
    columns = len(SEVERITIES) + 1
    figure = style.Figure(figsize=(0.78 * columns + 1.1, 0.78 * len(CORRUPTIONS) + 0.3))
    axes = figure.subplots(len(CORRUPTIONS), columns, squeeze=False)
    for row, name in zip(axes, CORRUPTIONS, strict=True):
        _show_face(row[0], face)
        for cell, severity in zip(row[1:], SEVERITIES, strict=True):
            _show_face(cell, corrupt(face, name, severity, key, landmarks))
        row[0].set_ylabel(name, fontsize=7, rotation=0, ha="right", va="center")
    for cell, title in zip(axes[0], ["as it is", *SEVERITIES], strict=True):
        cell.set_title(str(title), fontsize=7)
    return figure
