"""Columns of texts as tables of Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def markdown(columns: Iterable[tuple[str, Iterable[str]]], *, names: int = 1) -> str:
    """Returns Markdown whose source lines up in a terminal.

    Args:
      columns: Titles and texts, such as the `items()` of a data frame.
      names: So many columns at the left are aligned left, the others right.
    """
    aligned = []
    for i, (title, texts) in enumerate(columns):
        cells = [title, *texts]
        # A rule of Markdown has a hyphen and a colon at least.
        width = max(2, *map(len, cells))
        cells.insert(1, "-" * width if i < names else "-" * (width - 1) + ":")
        align = str.ljust if i < names else str.rjust
        aligned.append([align(cell, width) for cell in cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in zip(*aligned, strict=True))


def latex(frame: pd.DataFrame, caption: str) -> str:
    """Returns a `table` for the package booktabs, of what LaTeX sets as it is.

    Args:
      frame: Texts; its index is not shown, and the first column is aligned left.
      caption: What it is about.
    """
    return frame.style.hide(axis="index").to_latex(
        hrules=True,
        position_float="centering",
        column_format="l" + "r" * (frame.shape[1] - 1),
        caption=caption,
    )


def escaped(text: str) -> str:
    """Returns text that LaTeX sets as it is."""
    return re.sub(r"[\\~^&%$#_{}]", lambda match: _SPECIAL[match[0]], text)
