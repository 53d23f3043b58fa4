"""Shows a comparison of groups of runs, and writes it for people and for programs."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from qcs_jax.evaluate import evidence, spreadsheet
from qcs_jax.evaluate.latex import latex
from qcs_jax.evaluate.lines import Line
from qcs_jax.evaluate.markdown import markdown
from qcs_jax.evaluate.rows import Group
from qcs_jax.system import files


def show(
    groups: Sequence[Group],
    out: pathlib.Path | None,
    table: int | None = None,
    against: str | None = None,
) -> list[Line]:
    """Prints the comparison of groups, in their order.

    Args:
      groups: Those of one data set and setting follow each other.
      out: Folder for `comparison.md`, `.tex` and `.csv`, and `evidence.csv`; None: they
        are not written.
      table: Table of the paper to look for its numbers, see `published.find`.
      against: Label of the row that the others are compared with, see
        `evidence.gather`.

    Returns:
      What was shown.
    """
    found, uncompared = evidence.gather(groups, against)
    lines = [Line.of(g, table, e) for g, e in zip(groups, found, strict=True)]
    notes = [note for group in groups for note in group.notes()]
    text = markdown(lines, notes + uncompared)
    print(text, end="")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        written = {
            "comparison.md": f"# Comparison\n\n{text}",
            "comparison.tex": latex(lines),
            "comparison.csv": spreadsheet.of_numbers(lines),
            "evidence.csv": spreadsheet.of_evidence(lines),
        }
        for name, content in written.items():
            files.write_text(out / name, content)
        first, *others = written
        print(f"\nwrote {out / first}, {', '.join(others)}")
    return lines
