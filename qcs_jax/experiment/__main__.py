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
from qcs_jax.evaluate import runs
from qcs_jax.evaluate.runs import RunFolder, Variant
from qcs_jax.experiment import tablefile
from qcs_jax.experiment.plan import Job, make_plan
from qcs_jax.experiment.rows import Table
from qcs_jax.experiment.runner import MAIN, Runner
from qcs_jax.experiment.swept import with_earlier
from qcs_jax.system import command, extras, prepared
from qcs_jax.system.errors import UserError


def main(argv: Sequence[str] | None = None, program: Sequence[str] = MAIN) -> int:
    """Runs the command line; returns the exit status.

    Args:
      argv: Arguments; default those of the process.
      program: What trains and evaluates, given the arguments of `qcs_jax.main`.
    """
    args, overrides = _parse(argv)
    return command.run(lambda: _run(args, overrides, program))


def _run(args: argparse.Namespace, overrides: list[str], program: Sequence[str]) -> int:
    extras.require("train")  # once, not in every run
    from qcs_jax.evaluate import comparison

    chosen, folder = tablefile.read(args.table), pathlib.Path(args.workdir)
    if chosen.sweep:
        extras.require("report")
    config, seeds = _config(args, chosen), _seeds(args, chosen)
    jobs = make_plan(config, chosen.rows, seeds, overrides, folder)
    _require_data(jobs)
    print(_overview(chosen, jobs))
    failures = Runner(program).run(jobs)
    found = [
        Variant(job.row.label, _runs_like(job), job.row.setting)
        for job in jobs[: len(chosen.rows)]
    ]
    sweep = chosen.sweep
    if sweep:
        first = jobs[: len(chosen.rows) // len(sweep.values)]
        sweep, found = with_earlier(sweep, found, first)
    print()
    variants = [variant for variant in found if variant.runs]
    shown = comparison.show(variants, folder, chosen.paper, chosen.against)
    if sweep:
        from qcs_jax.experiment import curve  # matplotlib, once all is trained

        # Variants without a run, which are not shown, have a place in the sweep.
        shown.index = [i for i, variant in enumerate(found) if variant.runs]
        if drawn := curve.draw(sweep, shown.reindex(range(len(found))), folder):
            print(f"drew {drawn} and .pdf")
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="qcs-jax experiment",
        description="Runs the rows of a table over several seeds, one after another, "
        "and compares them. The same command goes on where it was stopped, and skips "
        "what is finished.",
        epilog=f"{flags.EPILOG}, which the rows leave free",
        allow_abbrev=False,
    )
    add = parser.add_argument
    of_table = "; default: that of the table"
    tables = ", ".join(tablefile.BUILT_IN)
    add("--config", metavar="FILE", help=flags.HELP + of_table)
    add("--table", required=True, help=f"{tables}, or a .toml file of your own")
    add("--seeds", metavar="0,1,2", help=f"a run of each row with each{of_table}")
    add("--workdir", required=True, metavar="FOLDER", help="folder of all the runs")
    args, others = parser.parse_known_args(argv)
    for text in others:
        if not text.startswith("--config.") or "=" not in text:
            parser.error(f"unknown argument {text}; fields are --config.FIELD=VALUE")
    return args, others


def _config(args: argparse.Namespace, chosen: Table) -> str:
    config = args.config or chosen.config
    if not config:
        raise UserError(f"table {args.table} names no recipe: give --config=FILE")
    return config


def _seeds(args: argparse.Namespace, chosen: Table) -> list[int]:
    text = args.seeds
    if text is None and chosen.seeds:
        return [*chosen.seeds]
    if text is None:
        raise UserError(f"table {args.table} names no seeds: give --seeds=0,1,2")
    try:
        seeds = [int(word) for word in text.split(",")]
    except ValueError:
        raise UserError(f"--seeds={text}: give numbers such as 0,1,2") from None
    if len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds={text}: each seed once, the same is no new run")
    return seeds


def _require_data(jobs: list[Job]) -> None:
    """Raises UserError for all data sets at once that runs would not find prepared."""
    needed = {
        (name, job.config["data.dir"]): None  # each once, in the order of the runs
        for job in jobs
        if not (job.finished and job.evaluated)
        for name in job.datasets
    }
    if told := [*filter(None, (prepared.missing(*dataset) for dataset in needed))]:
        raise UserError("\n".join(told))


def _overview(chosen: Table, jobs: list[Job]) -> str:
    """Says what is going to be run, and what is there."""
    width = max(len(job.row.label) for job in jobs)
    todo = sum(not job.finished for job in jobs)
    lines = [chosen.about] if chosen.about else []
    lines += [f"{len(jobs)} runs, {todo} of them to be trained:"]
    lines += [
        f"  {job.row.label:<{width}}  seed {job.seed}  {job.workdir}  {job.state}"
        for job in jobs
    ]
    return "\n".join(lines)


def _runs_like(job: Job) -> tuple[RunFolder, ...]:
    """Runs of a job's row on disk, those with other seeds than this time's, too."""
    folders = sorted(job.workdir.parent.glob("seed*"))
    found = (runs.read_run(folder) for folder in folders if runs.is_run(folder))
    return tuple(run for run in found if job.is_like(run))


if __name__ == "__main__":
    command.start(main)
