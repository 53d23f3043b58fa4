"""Accuracy of groups of people, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping

from qcs_jax.figures import style

# Narrow, so that its text is read on a telephone, too.
_WIDTH = 4.4
_SURE, _SMALL = style.COLORS[0], "#999999"


@style.styled()
def intervals(column: Mapping, accuracy: float) -> style.Figure:
    """A dot and an interval for every group; small groups are grey and hollow.

    Args:
      column: One of the columns of `metrics.groups.summary`, with a group at least.
      accuracy: That of all images, a dashed line.
    """
    groups = column["groups"]
    figure = style.Figure(figsize=(_WIDTH, 0.3 * len(groups) + 0.55))
    axes = figure.subplots()
    axes.axvline(100 * accuracy, color="#BBBBBB", lw=0.8, ls="--")
    for y, group in enumerate(groups):
        ends = [100 * x for x in group["intervals"]["accuracy"]]
        color = _SMALL if group["small"] else _SURE
        axes.plot(ends, [y, y], color=color, lw=1 if group["small"] else 1.8)
        face = "white" if group["small"] else color
        axes.plot(
            100 * group["accuracy"], y, "o", ms=5, color=color, mfc=face, clip_on=False
        )
    axes.set_yticks(range(len(groups)), labels=[_label(group) for group in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_xlim(right=min(100, axes.get_xlim()[1]))
    axes.set_xlabel("accuracy (%)")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#E5E5E5", lw=0.5)
    axes.set_axisbelow(True)
    return figure


def _label(group: Mapping) -> str:
    few = ", few" if group["small"] else ""
    return f"{style.wrapped(group['group'], 24)} ({group['examples']:,}{few})"
