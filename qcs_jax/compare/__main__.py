"""Compares runs over their seeds, or two networks image by image.

python -m qcs_jax.compare RUN_OR_FOLDER... [--out=FOLDER]
python -m qcs_jax.compare A/predictions.csv B/predictions.csv
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

from qcs_jax.compare import table
from qcs_jax.compare.groups import group_runs
from qcs_jax.compare.runs import find_runs
from qcs_jax.metrics import predictions
from qcs_jax.metrics.mcnemar import compare
from qcs_jax.system import command
from qcs_jax.system.errors import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    args = _parse(argv)
    if any(pathlib.Path(name).suffix == ".csv" for name in args.runs):
        return command.run(lambda: _compare_predictions(args.runs, args.out))
    return command.run(lambda: _compare_runs(args.runs, args.out))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m qcs_jax.compare",
        description="Groups runs that differ in nothing but the seed and shows mean, "
        "spread and best of their test accuracy; of two prediction files, whether "
        "their networks differ (McNemar's exact test).",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="a run, a folder with runs or a pattern; or two predictions.csv",
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="write comparison.md and comparison.csv there"
    )
    return parser.parse_args(argv)


def _compare_runs(arguments: list[str], out: str | None) -> None:
    groups = group_runs(find_runs(arguments))
    lines = [table.Line.of(group) for group in groups]
    notes = [note for group in groups for note in group.notes()]
    print(table.markdown(lines, notes), end="")
    if out is not None:
        table.write(pathlib.Path(out), lines, notes)
        print(f"\nwrote {pathlib.Path(out) / 'comparison.md'} and comparison.csv")


def _compare_predictions(paths: list[str], out: str | None) -> None:
    if len(paths) != 2 or out is not None:
        raise UserError(
            "predictions are compared two at a time, and printed only: give "
            "A/predictions.csv B/predictions.csv and no --out"
        )
    a, b = paths
    test = compare(predictions.read(a), predictions.read(b))
    width = max(len(a), len(b), len("right in both or neither"))
    both = test.examples - test.only_a - test.only_b
    rows = [
        ("accuracy of", ""),
        (a, f"{100 * test.accuracy_a:.2f} %"),
        (b, f"{100 * test.accuracy_b:.2f} %"),
        (f"of {test.examples} images", ""),
        ("right in the first only", test.only_a),
        ("right in the second only", test.only_b),
        ("right in both or neither", both),
        ("p (exact, two-sided)", f"{test.p:.4g}"),
    ]
    for name, value in rows:
        print(f"  {name:<{width}}  {value}".rstrip())
    print(test.sentence(a, b))


if __name__ == "__main__":
    sys.exit(main())
