"""Compares the runs of a table that are on disk, and draws the curve of a sweep."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
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

    sweep = table.sweep
    field = sweep.field if sweep else ""
    rows = jobs[: len(jobs) // len(sweep.values)] if sweep else jobs
    found = [_runs_by_value(job, field) for job in rows]
    named = _names(sweep, jobs[:: len(rows)], found) if sweep else {None: (0.0, "")}
    variants, places = [], []
    for value, (place, name) in named.items():
        # What tells tables apart; they name the data set anyway.
        setting = f"{field}={name}" if field not in ("", "data.name") else ""
        for job, by_value in zip(rows, found, strict=True):
            if value in by_value:
                variants.append(Variant(job.row.label, by_value[value], setting))
                places.append(place)
    shown = comparison.show(variants, folder, table.paper, table.against)
    if sweep:
        ticks = None if sweep.numbered else [str(name) for _, name in named.values()]
        if drawn := draw(shown.assign(at=places), sweep.axis, ticks, folder):
            print(f"drew {drawn} and .pdf")


def draw(
    shown: pd.DataFrame, axis: str, ticks: Sequence[str] | None, folder: pathlib.Path
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
    return style.save(charts.sweep(variants, axis, chance, ticks), folder, "sweep")[0]


def _names(
    sweep: Sweep, jobs: Sequence[Job], found: Sequence[dict]
) -> dict[Any, tuple[float, Any]]:
    """Place on the axis and name of each value; `jobs` has one at each of the table.

    Values of earlier calls come behind; where the table says where values stand, they
    are left out.
    """
    # Runs have values of the field's own type, whatever the table has: 1.0 for "1".
    values = [_value(job.config, sweep.field) for job in jobs]
    named = dict(zip(values, zip(sweep.at, sweep.values, strict=True), strict=True))
    earlier = [*dict.fromkeys(x for of_row in found for x in of_row if x not in named)]
    if not sweep.numbered:
        return named | {x: (i, x) for i, x in enumerate(earlier, start=len(named))}
    if sweep.at == sweep.values:
        return named | {x: (x, x) for x in sorted(earlier)}
    return named


def _runs_by_value(job: Job, swept: str) -> dict[Any, tuple[RunFolder, ...]]:
    """Runs of a job's row that differ in the seed and the swept field alone."""
    row = job.workdir.parent
    folders = row.parents[1].glob(f"*/{row.name}/seed*") if swept else row.glob("seed*")
    by_value: dict[Any, tuple[RunFolder, ...]] = {}
    for run in (runs.read_run(x) for x in sorted(folders) if runs.is_run(x)):
        if job.differences(run).keys() <= {"seed", swept}:
            value = _value(run.config, swept)
            by_value[value] = (*by_value.get(value, ()), run)
    return by_value


def _value(config: dict[str, Any], field: str) -> Any:
    value = config.get(field)
    return tuple(value) if isinstance(value, list) else value
