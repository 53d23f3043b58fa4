"""Interaction matrices of pairs of faces (Figures 4 and 6)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from qcs_jax.predict.interaction import Comparison
from qcs_jax.visualize import style

_COLUMNS = (
    ("products", "dot product / √C"),
    ("similarities", "similarity S"),
    ("distances", "distance D"),
)


@style.styled
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
      class_names: 1 + p names: of the classes of the anchor and of each partner.
    """
    p = len(partners)
    figure = style.Figure(figsize=(style.WIDTH, 1.65 * p + 0.6))
    axes = figure.subplots(p, 5, squeeze=False, width_ratios=(0.65, 0.65, 1, 1, 1))
    for row in range(p):
        _face(axes[row, 0], anchor, "anchor", class_names[0])
        _face(axes[row, 1], partners[row], relations[row], class_names[1 + row])
    for column, (field, label) in enumerate(_COLUMNS, start=2):
        values = getattr(compared, field)
        norm = style.range_of(values)
        for row in range(p):
            drawn = _matrix(axes[row, column], values[row], norm)
        axes[p - 1, column].set_xlabel("partner position")
        figure.colorbar(
            drawn,
            ax=axes[:, column],
            location="bottom",
            label=label,
            aspect=20,
            pad=0.01,
        ).outline.set_visible(False)
    for row in range(p):
        axes[row, 2].set_ylabel("anchor position")
    return figure


def _face(axes: style.Axes, face: np.ndarray, role: str, class_name: str) -> None:
    style.show_face(axes, face)
    axes.set_title(role, fontsize=7)
    text = style.label_size([class_name], 0.95)
    axes.set_xlabel(style.wrapped(class_name), fontsize=text)


def _matrix(axes: style.Axes, values: np.ndarray, norm: style.Normalize):
    drawn = axes.imshow(values, cmap=style.MATRIX, norm=norm)
    axes.spines[:].set_visible(False)
    # A tick where a row of the token grid begins.
    side = math.isqrt(len(values))
    ticks = np.arange(0, len(values), side)
    axes.set_xticks(ticks, labels=ticks)
    axes.set_yticks(ticks, labels=ticks)
    return drawn
