"""Mean, spread and maximum over seeds, as tables for people and for programs."""

from __future__ import annotations

import csv
import dataclasses
import io
import pathlib
import statistics
from collections.abc import Sequence
from itertools import groupby

from qcs_jax.compare import published
from qcs_jax.compare.groups import Group
from qcs_jax.metrics.run_log import BEST_ON_HELD_OUT, BEST_ON_TEST, LAST, METRIC
from qcs_jax.system import files

_NUMBERS = (LAST, BEST_ON_HELD_OUT, BEST_ON_TEST)
_WITHOUT_LOOKING = ("most_frequent", "chance")
_ABOUT = (
    "Test accuracy in percent: mean ± sample standard deviation over seeds (number of "
    "runs), and the best run."
)
_ABOUT_PAPER = (
    "The paper reports the best epoch on the test split of the best of five runs: "
    f'compare it with the best run of "{BEST_ON_TEST}".'
)


@dataclasses.dataclass(frozen=True)
class Statistic:
    """One number over runs, in percent.

    Attributes:
      n: Number of runs.
      mean: Their mean.
      std: Sample standard deviation (n - 1), or None for a single run.
      max: The largest.
    """

    n: int
    mean: float
    std: float | None
    max: float

    @classmethod
    def of(cls, fractions: Sequence[float]) -> Statistic | None:
        """Takes numbers between 0 and 1; None if there are none."""
        if not fractions:
            return None
        percent = [100 * value for value in fractions]
        std = statistics.stdev(percent) if len(percent) > 1 else None
        return cls(len(percent), statistics.fmean(percent), std, max(percent))

    @property
    def spread(self) -> str:
        """The standard deviation as text."""
        return "-" if self.std is None else f"{self.std:.2f}"


@dataclasses.dataclass(frozen=True)
class Line:
    """One variant of a table.

    Attributes:
      dataset: Value of `data.name`.
      label: What the table calls the variant.
      seeds: Seeds of the runs that count.
      accuracy: Accuracy by the name of each number that there is, `run_log.LAST`, ...
      mean_class_accuracy: The same for the mean accuracy of classes.
      paper: What the paper reports.
      most_frequent: Accuracy of always answering the most frequent class, a fraction;
        None for runs of versions that did not log it.
      chance: Likewise, of a random answer.
    """

    dataset: str
    label: str
    seeds: tuple[int, ...]
    accuracy: dict[str, Statistic]
    mean_class_accuracy: dict[str, Statistic]
    paper: published.Result | None
    most_frequent: float | None = None
    chance: float | None = None

    @classmethod
    def of(cls, group: Group, table: int | None = None) -> Line:
        """Summarises a group; `table` is where to look for the paper's number."""
        runs = [run.scores.named() for run in group.counted if run.scores]

        def over_runs(metric: str) -> dict[str, Statistic]:
            values = {n: [x[n][metric] for x in runs if n in x] for n in _NUMBERS}
            return {n: found for n in values if (found := Statistic.of(values[n]))}

        return cls(
            group.dataset,
            group.label,
            tuple(run.config["seed"] for run in group.counted),
            over_runs(METRIC),
            over_runs("mean_class_accuracy"),
            published.find(group.runs[0].config, table),
            *(runs[0][LAST].get(x) if runs else None for x in _WITHOUT_LOOKING),
        )


def show(
    groups: Sequence[Group], out: pathlib.Path | None, table: int | None = None
) -> None:
    """Prints the comparison of groups, in their order.

    Args:
      groups: Those of one data set follow each other.
      out: Folder for `comparison.md` and `comparison.csv`; None: they are not written.
      table: Table of the paper to look for its numbers, see `published.find`.
    """
    lines = [Line.of(group, table) for group in groups]
    text = markdown(lines, [note for group in groups for note in group.notes()])
    print(text, end="")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        files.write_text(out / "comparison.md", f"# Comparison\n\n{text}")
        files.write_text(out / "comparison.csv", csv_text(lines))
        print(f"\nwrote {out / 'comparison.md'} and comparison.csv")


def markdown(lines: Sequence[Line], notes: Sequence[str] = ()) -> str:
    """Returns a table for every data set, aligned, and what to know about it."""
    finished = [line for line in lines if line.accuracy]
    parts = []
    for dataset, group in groupby(finished, key=lambda line: line.dataset):
        members = list(group)
        parts.append(f"## {dataset}\n\n{aligned(_cells(members))}")
        parts += sorted({text for x in members if (text := _without_looking(x))})
    parts.append(_ABOUT if parts else "No run is finished.")
    if any(line.paper for line in lines):
        parts.append(_ABOUT_PAPER)
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def _without_looking(line: Line) -> str:
    if line.most_frequent is None or line.chance is None:
        return ""
    return (
        f"Always the most frequent class: {100 * line.most_frequent:.2f}. "
        f"Chance: {100 * line.chance:.2f}."
    )


def _cells(lines: list[Line]) -> list[list[str]]:
    numbers = [name for name in _NUMBERS if any(name in x.accuracy for x in lines)]
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


def aligned(rows: Sequence[Sequence[str]], *, names: int = 1) -> str:
    """Returns Markdown whose source lines up: first columns of names, then numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
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


def csv_text(lines: Sequence[Line]) -> str:
    """Returns one line for each variant and number, in percent."""
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(
        ["dataset", "variant", "number", "n", "mean", "std", "max"]
        + ["mean_class_accuracy", "seeds", "paper", "paper_table"]
    )
    for line in lines:
        for name, found in line.accuracy.items():
            paper = ["", ""]
            if line.paper and name == BEST_ON_TEST:
                percent = line.paper.percent[line.dataset]
                paper = [f"{percent:.2f}", str(line.paper.table)]
            rows.writerow(
                [line.dataset, line.label, name, found.n, f"{found.mean:.2f}"]
                + [found.spread, f"{found.max:.2f}"]
                + [f"{line.mean_class_accuracy[name].mean:.2f}"]
                + [" ".join(map(str, line.seeds)), *paper]
            )
    return file.getvalue()
