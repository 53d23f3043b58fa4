"""A comparison as Markdown whose source lines up in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from qcs_jax.evaluate.counts import LEVEL
from qcs_jax.evaluate.evidence import Versus
from qcs_jax.evaluate.lines import NUMBERS, Line
from qcs_jax.evaluate.paired import Interval
from qcs_jax.evaluate.run_log import BEST_ON_TEST, LAST

_ABOUT = (
    "Test accuracy in percent: mean ± sample standard deviation over seeds (number of "
    "runs), and the best run."
)
_ABOUT_PAPER = (
    "The paper reports the best epoch on the test split of the best of five runs: "
    f'compare it with the best run of "{BEST_ON_TEST}".'
)
_ABOUT_EVIDENCE = (
    f"Second table: the checkpoints that were evaluated, intervals at {LEVEL:.0%}. "
    "Over images: these networks on other test images (bootstrap). Over seeds: other "
    "trainings on these test images (Student's t)."
)
_ABOUT_P = (
    "p: how likely so large a difference is between equally good variants, over images "
    "(exact sign flips; of one seed McNemar's test) and over seeds (paired t test), "
    "corrected for {count} by Holm's method."
)


def markdown(lines: Sequence[Line], notes: Sequence[str] = ()) -> str:
    """Returns tables for every data set and setting, and what to know about them."""
    finished = [line for line in lines if line.accuracy]
    parts = []
    for heading, group in groupby(finished, key=lambda line: line.heading):
        members = list(group)
        parts.append(f"## {heading}\n\n{aligned(_cells(members))}")
        if any(x.evidence for x in members):
            parts.append(aligned(_evidence_cells(members)))
        parts += sorted({text for x in members if (text := _without_looking(x))})
    parts.append(_ABOUT if parts else "No run is finished.")
    if any(line.evidence for line in lines):
        parts.append(_ABOUT_EVIDENCE)
    if count := sum(bool(x.versus) for x in lines):
        comparisons = f"{count} comparison{'s' * (count > 1)}"
        parts.append(_ABOUT_P.format(count=comparisons))
    if any(line.paper for line in lines):
        parts.append(_ABOUT_PAPER)
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def interval(ends: Interval | None, sign: str = "") -> str:
    """Returns an interval in percent; `sign` "+" is for differences."""
    if ends is None:
        return "-"
    low, high = (f"{100 * end:{sign}.2f}" for end in ends)
    return f"{low} to {high}"


def p_value(p: float | None) -> str:
    """Returns a p-value as text."""
    if p is None:
        return "-"
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def _without_looking(line: Line) -> str:
    if line.most_frequent is None or line.chance is None:
        return ""
    return (
        f"Always the most frequent class: {100 * line.most_frequent:.2f}. "
        f"Chance: {100 * line.chance:.2f}."
    )


def _cells(lines: list[Line]) -> list[list[str]]:
    numbers = [name for name in NUMBERS if any(name in x.accuracy for x in lines)]
    with_paper = any(line.paper for line in lines)
    header = ["variant"]
    for name in numbers:
        header += [name, "best run"] + ["mean class"] * (name == LAST)
    rows = [header + ["paper"] * with_paper]
    for line in lines:
        cells = [cell for name in numbers for cell in _number_cells(line, name)]
        rows.append([line.label, *cells] + [_paper_cell(line)] * with_paper)
    return rows


def _number_cells(line: Line, name: str) -> list[str]:
    if name not in line.accuracy:
        return ["-", "-"]
    found, classes = line.accuracy[name], line.mean_class_accuracy[name]
    cells = [f"{found.mean:.2f} ± {found.spread} ({found.n})", f"{found.max:.2f}"]
    return cells + [f"{classes.mean:.2f}"] * (name == LAST)


def _paper_cell(line: Line) -> str:
    if line.paper is None:
        return "-"
    return f"{line.paper.percent[line.dataset]:.2f} (Table {line.paper.table})"


def _evidence_cells(lines: list[Line]) -> list[list[str]]:
    against = {line.versus.label for line in lines if line.versus}
    header = ["evaluated", "accuracy", "over images", "over seeds"]
    for label in against:  # one at most
        header += [f"minus {label}", "over images", "p", "over seeds", "p"]
    rows = [header]
    for line in lines:
        cells = ["-"] * 3
        if found := line.evidence:
            mean = f"{100 * found.accuracy.mean:.2f} ({len(found.seeds)})"
            ends = found.accuracy.images, found.accuracy.seeds
            cells = [mean, *map(interval, ends)]
        if against:
            cells += _versus_cells(line.versus)
        rows.append([line.label, *cells])
    return rows


def _versus_cells(versus: Versus | None) -> list[str]:
    if versus is None:
        return ["-"] * 5
    found = versus.difference
    return [
        f"{100 * found.mean:+.2f}",
        interval(found.images, "+"),
        p_value(versus.p_images),
        interval(found.seeds, "+"),
        p_value(versus.p_seeds),
    ]


def aligned(rows: Sequence[Sequence[str]], *, names: int = 1) -> str:
    """Returns Markdown whose source lines up: first columns of names, then numbers."""
    # A rule of Markdown has a hyphen and a colon at least.
    widths = [max(2, *map(len, column)) for column in zip(*rows, strict=True)]
    rule = [
        "-" * width if i < names else "-" * (width - 1) + ":"
        for i, width in enumerate(widths)
    ]
    lines = []
    for row in [rows[0], rule, *rows[1:]]:
        cells = [
            cell.ljust(width) if i < names else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
