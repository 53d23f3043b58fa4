"""Texts as tables of Markdown and LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def aligned(rows: Sequence[Sequence[str]], *, names: int = 1) -> str:
    """Returns Markdown whose source lines up in a terminal.

    Of rows of texts, the first of them the header's. So many `names` at the left are
    aligned left, the other columns right.
    """
    columns = []
    for i, (title, *texts) in enumerate(zip(*rows, strict=True)):
        # A rule of Markdown has a hyphen and a colon at least.
        width = max(2, len(title), *map(len, texts))
        rule = "-" * width if i < names else "-" * (width - 1) + ":"
        align = str.ljust if i < names else str.rjust
        columns.append([align(text, width) for text in (title, rule, *texts)])
    return "\n".join(f"| {' | '.join(row)} |" for row in zip(*columns, strict=True))


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
