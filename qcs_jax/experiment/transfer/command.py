"""Tests networks on the data sets of others.

qcs-jax transfer RUN... --data=NAME,NAME@SPLIT [--out=FOLDER]
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

from qcs_jax.system import command, extras, signals

# What computes is imported where it is used: --help and a wrong flag answer at once.


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status, 1 if a cell is missing."""
    parser = argparse.ArgumentParser(
        prog="qcs-jax transfer",
        description="Evaluates networks on the test images of several data sets. A "
        "network that is good on its own is often bad on others.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    run = "a run, a folder with runs, a pattern, a checkpoint, a file of weights, or "
    data = "prepared data sets; NAME@SPLIT for another split than test"
    labels = (
        "what classes of a data set are called in the networks, such as "
        "ferplus:joy=happiness,anger=anger; default: as they are; may be repeated"
    )
    add("runs", nargs="+", metavar="RUN", help=f"{run}the name of a network")
    add("--data", required=True, metavar="NAME,NAME", help=data)
    add("--labels", action="append", default=[], metavar="NAME:MAP", help=labels)
    add("--out", metavar="FOLDER", help="write transfer.md, .csv, .png and .svg there")
    add("--data_dir", default="", metavar="DIR", help="root of prepared data sets")
    args = parser.parse_args(argv)
    return command.run(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    extras.require("train")
    if args.out:
        extras.require("report")  # not after an hour
    from qcs_jax.experiment.transfer import cells, table

    networks = cells.find_networks(args.runs)
    datasets = cells.parse_datasets(args.data, args.labels)
    with signals.ending():
        rows = cells.measure_cells(networks, datasets, args.data_dir)
    print(f"\n{table.markdown(rows)}", end="")
    if args.out:
        written = table.write_matrix(rows, pathlib.Path(args.out))
        print(f"\nwrote {', '.join(map(str, written))}")
    if failed := sum(not cell.evaluation for row in rows for cell in row):
        count = f"{failed} of {len(networks) * len(datasets)} cells"
        print(f"error: {count} were not measured, see above", file=sys.stderr)
    return 1 if failed else 0
