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

from qcs_jax.config import flags
from qcs_jax.experiment import sweep, tablefile
from qcs_jax.experiment.jobs import MAIN, Job, Runner, make_plan
from qcs_jax.experiment.tablefile import Table
from qcs_jax.system import command, datasets, extras
from qcs_jax.system.errors import UserError


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
    sweep.compare(table, jobs[: len(table.rows)], folder)
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
    if len(set(seeds)) < len(seeds):
        raise UserError(f"seeds {seeds}: each once, the same is no new run")
    return seeds


def _require_data(jobs: list[Job]) -> None:
    """Raises UserError for all data sets at once that runs would not find prepared."""
    needed = {
        (name, job.config["data.dir"]): None  # each once, in the order of the runs
        for job in jobs
        if not (job.finished and job.evaluated)
        for name in job.datasets
    }
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


if __name__ == "__main__":
    command.start(main)
