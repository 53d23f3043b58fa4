"""Texts as a table of Markdown."""

from __future__ import annotations

from collections.abc import Sequence


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
