"""What earlier calls have swept in the folder of an experiment."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from qcs_jax.evaluate import runs
from qcs_jax.evaluate.runs import RunFolder, Variant
from qcs_jax.experiment.plan import Job
from qcs_jax.experiment.rows import Sweep


def with_earlier(
    sweep: Sweep, groups: Sequence[Variant], jobs: Sequence[Job]
) -> tuple[Sweep, list[Variant]]:
    """Adds the values that the table once had and has no longer, with their runs.

    A value that stands where the table says (`at`) is left out with its place.

    Args:
      sweep: What is swept.
      groups: Those of all rows at the first value, then at the second, and so on.
      jobs: One of each row, at the first value.

    Returns:
      Both, with the values that were found behind the others.
    """
    by_row = [_runs_elsewhere(sweep, job) for job in jobs]
    values = {value: None for found in by_row for value in found}
    if sweep.numbered:
        given = sweep.at == sweep.values
        values = dict.fromkeys(sorted(values)) if given else {}
    last = len(sweep.values)
    places = values if sweep.numbered else range(last, last + len(values))
    more = [
        Variant(job.row.label, tuple(found.get(value, ())), f"{sweep.field}={value}")
        for value in values
        for job, found in zip(jobs, by_row, strict=True)
    ]
    if not jobs[0].row.setting:  # tables name the data sets that are swept
        more = [dataclasses.replace(group, setting="") for group in more]
    together = dataclasses.replace(
        sweep, values=(*sweep.values, *values), at=(*sweep.at, *places)
    )
    return together, [*groups, *more]


def _runs_elsewhere(sweep: Sweep, job: Job) -> dict[Any, list[RunFolder]]:
    """Runs like a job at values that the table does not have."""
    row, found = job.workdir.parent, dict[Any, list[RunFolder]]()
    for folder in sorted(row.parents[1].glob(f"*/{row.name}/seed*")):
        if not runs.is_run(folder):
            continue
        run, here = runs.read_run(folder), job.config[sweep.field]
        value = run.config[sweep.field]
        same = dataclasses.replace(run, config=run.config | {sweep.field: here})
        if value not in sweep.values and job.is_like(same):
            key = tuple(value) if isinstance(value, list) else value
            found.setdefault(key, []).append(run)
    return found
