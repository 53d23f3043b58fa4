"""Compares the runs of a table that are on disk, and draws the curve of a sweep."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from qcs_jax.evaluate import runs
from qcs_jax.evaluate.runs import RunFolder, Variant
from qcs_jax.experiment.jobs import Job
from qcs_jax.experiment.tablefile import Sweep, Table

if TYPE_CHECKING:
    import pandas as pd


def compare(table: Table, jobs: Sequence[Job], folder: pathlib.Path) -> None:
    """Prints all rows beside each other, and writes tables and the curve of a sweep.

    Runs of earlier calls, with other seeds or other values of the sweep, count as well.
    `jobs` has one of each row; of a sweep at the first value, then at the second, and
    so on.
    """
    from qcs_jax.evaluate import comparison  # pandas, once all is trained

    if table.sweep:
        swept, points = _group_swept(table.sweep, jobs)
    else:
        groups = [Variant(job.row.label, tuple(_runs_like(job))) for job in jobs]
        points = [(0.0, group) for group in groups if group.runs]
    groups = [group for _, group in points]
    shown = comparison.show(groups, folder, table.paper, table.against)
    if table.sweep:
        drawn = draw(swept, shown.assign(at=[at for at, _ in points]), folder)
        if drawn:
            print(f"drew {drawn} and .pdf")


def _group_swept(
    sweep: Sweep, jobs: Sequence[Job]
) -> tuple[Sweep, list[tuple[float, Variant]]]:
    """The sweep with values of earlier calls behind the others; and the runs.

    A value that the table once had is left out where the table says where values stand.
    Runs are grouped by value and row, with the place of each group on the axis.
    """
    rows = jobs[: len(jobs) // len(sweep.values)]
    by_row = []
    for job in rows:
        by_value: dict[Any, list[RunFolder]] = {}
        for run in _runs_like(job, sweep.field):
            by_value.setdefault(_value(run.config, sweep), []).append(run)
        by_row.append(by_value)
    # Runs have values of the field's own type, whatever the table has: 1.0 for "1".
    values = [_value(job.config, sweep) for job in jobs[:: len(rows)]]
    at = dict(zip(values, sweep.at, strict=True))
    earlier = {x: x for runs_of_row in by_row for x in runs_of_row if x not in at}
    names = earlier | dict(zip(values, sweep.values, strict=True))
    if not sweep.numbered:
        at |= {value: i for i, value in enumerate(earlier, start=len(at))}
    elif sweep.at == sweep.values:
        at |= {value: value for value in sorted(earlier)}
    points = []
    for value, place in at.items():
        # What tells tables apart; they name the data set anyway.
        of_data = sweep.field == "data.name"
        setting = "" if of_data else f"{sweep.field}={names[value]}"
        for job, by_value in zip(rows, by_row, strict=True):
            if like := by_value.get(value):
                points.append((place, Variant(job.row.label, tuple(like), setting)))
    values = [names[value] for value in at]
    extended = dataclasses.replace(sweep, values=tuple(values), at=tuple(at.values()))
    return extended, points


def draw(
    sweep: Sweep, shown: pd.DataFrame, folder: pathlib.Path
) -> pathlib.Path | None:
    """Writes `folder/sweep.png` and `.pdf`; returns the first.

    `shown` is from `comparison.show`, with where each row stands on the axis as `at`.
    Before runs at two values were evaluated, there is nothing to draw: None.
    """
    from qcs_jax.figures import charts, style  # matplotlib, once all is trained

    measured = shown.dropna(subset="accuracy").sort_values("at")
    if measured["at"].nunique() < 2:
        return None
    variants = list(measured.groupby("variant", sort=False))
    chance = next(iter(measured["chance"].dropna()), None)
    ticks = None if sweep.numbered else [str(value) for value in sweep.values]
    figure = charts.sweep(variants, sweep.axis, chance, ticks)
    return style.save(figure, folder, "sweep")[0]


def _runs_like(job: Job, swept: str = "") -> Iterator[RunFolder]:
    """Yields runs of a job's row that differ in the seed and the swept field alone."""
    row = job.workdir.parent
    folders = row.parents[1].glob(f"*/{row.name}/seed*") if swept else row.glob("seed*")
    for folder in sorted(folders):
        if runs.is_run(folder):
            run = runs.read_run(folder)
            if job.differences(run).keys() <= {"seed", swept}:
                yield run


def _value(config: dict[str, Any], sweep: Sweep) -> Any:
    value = config[sweep.field]
    return tuple(value) if isinstance(value, list) else value
