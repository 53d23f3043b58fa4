"""Runs the rows of a table over several seeds, one after another, and compares them.

qcs-jax experiment --config=configs/demo.py --table=networks --seeds=0,1,2 \\
    --workdir=runs/networks
qcs-jax experiment --table=mine.toml --workdir=runs/mine

Any field that the rows leave free can be set: --config.train.epochs=10. The same
command goes on where it was stopped, and skips what is finished.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qcs_jax.config import flags
from qcs_jax.config.validate import parse_extra
from qcs_jax.evaluate import runs
from qcs_jax.evaluate.runs import RunFolder, Variant
from qcs_jax.experiment import tablefile
from qcs_jax.experiment.jobs import MAIN, Job, Runner, make_plan
from qcs_jax.experiment.tablefile import Sweep, Table
from qcs_jax.system import command, datasets, extras
from qcs_jax.system.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


def main(argv: Sequence[str] | None = None, program: Sequence[str] = MAIN) -> int:
    """Runs the command line; `program` trains and evaluates, as `qcs_jax.main` does."""
    parser = argparse.ArgumentParser(
        prog="qcs-jax experiment",
        description=__doc__.partition("\n")[0],
        epilog=f"{flags.EPILOG}, which the rows leave free. The same command goes on "
        "where it was stopped, and skips what is finished.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    of_table = "; default: that of the table"
    tables = ", ".join(tablefile.BUILT_IN)
    add("--config", metavar="FILE", help=flags.HELP + of_table)
    add("--table", required=True, help=f"{tables}, or a .toml file of your own")
    add("--seeds", metavar="0,1,2", help=f"a run of each row with each{of_table}")
    add("--workdir", required=True, metavar="FOLDER", help="folder of all the runs")
    args, overrides = parser.parse_known_args(argv)
    for text in overrides:
        if not text.startswith("--config.") or "=" not in text:
            parser.error(f"unknown argument {text}; fields are --config.FIELD=VALUE")
    return command.run(lambda: _run(args, overrides, program))


def _run(args: argparse.Namespace, overrides: list[str], program: Sequence[str]) -> int:
    extras.require("train")  # once, not in every run
    table, folder = tablefile.read_table(args.table), pathlib.Path(args.workdir)
    if table.sweep:
        extras.require("report")
    config = args.config or table.config
    if not config:
        raise UserError(f"table {args.table} names no recipe: give --config=FILE")
    jobs = make_plan(config, table.rows, _seeds(args, table), overrides, folder)
    _require_data(jobs)
    print(_overview(table.about, jobs))
    failures = Runner(program).run(jobs)
    print()
    compare(table, jobs[: len(table.rows)], folder)
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _seeds(args: argparse.Namespace, table: Table) -> Sequence[int]:
    text, seeds = args.seeds, table.seeds
    if text is not None:
        try:
            seeds = tuple(map(int, text.split(",")))
        except ValueError:
            raise UserError(f"--seeds={text}: give numbers such as 0,1,2") from None
    if not seeds:
        raise UserError(f"table {args.table} names no seeds: give --seeds=0,1,2")
    return tuple(dict.fromkeys(seeds))  # each once


def _require_data(jobs: list[Job]) -> None:
    """Raises UserError for all data sets at once that runs would not find prepared."""
    needed: dict[tuple[str, str], None] = {}  # each once, in the order of the runs
    for config in (x.config for x in jobs if not (x.finished and x.evaluated)):
        extra = [name for name, _ in parse_extra(config["data.extra"])]
        for name in (config["data.name"], *extra):
            needed[name, config["data.dir"]] = None
    if missing := [*filter(None, (datasets.missing(*dataset) for dataset in needed))]:
        raise UserError("\n".join(missing))


def _overview(about: str, jobs: list[Job]) -> str:
    """Says what is going to be run, and what is there."""
    width = max(len(job.row.label) for job in jobs)
    todo = sum(not job.finished for job in jobs)
    lines = [about] * bool(about)
    lines.append(f"{len(jobs)} runs, {todo} of them to be trained:")
    for job in jobs:
        label = f"{job.row.label:<{width}}"
        lines.append(f"  {label}  seed {job.seed}  {job.workdir}  {job.state}")
    return "\n".join(lines)


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


if __name__ == "__main__":
    command.start(main)
