"""Compares runs over their seeds, or two networks image by image.

qcs-jax compare RUN_OR_FOLDER... [--out=FOLDER]
qcs-jax compare A/predictions.csv B/predictions.csv
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

from qcs_jax.system import command
from qcs_jax.system.errors import UserError

# What computes is imported where it is used: --help and a wrong flag answer at once.


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="qcs-jax compare",
        description="Groups runs that differ in nothing but the seed and shows mean, "
        "spread and best of their test accuracy; of two prediction files, whether "
        "their networks differ (McNemar's exact test).",
    )
    add = parser.add_argument
    add(
        "runs",
        nargs="+",
        metavar="RUN",
        help="a run, a folder with runs or a pattern; or two predictions.csv",
    )
    add("--out", metavar="FOLDER", help="write the tables there: .md, .tex, .csv")
    args = parser.parse_args(argv)
    of_files = any(name.endswith(".csv") for name in args.runs)
    compare = _compare_files if of_files else _compare_runs
    return command.run(lambda: compare(args.runs, args.out))


def _compare_runs(arguments: list[str], out: str | None) -> None:
    from qcs_jax.evaluate import comparison, runs

    variants = runs.variants_of(runs.find_runs(arguments))
    comparison.show(variants, pathlib.Path(out) if out else None)


def _compare_files(paths: list[str], out: str | None) -> None:
    from qcs_jax.evaluate import predictions, uncertainty

    if len(paths) != 2 or out is not None:
        raise UserError(
            "predictions are compared two at a time, and printed only: give "
            "A/predictions.csv B/predictions.csv and no --out"
        )
    a, b = paths
    correct = predictions.matched(predictions.read(a), predictions.read(b))
    first, second = correct["first"], correct["second"]
    gains = first.astype(int) - second.astype(int)
    p = uncertainty.sign_flip_p(gains.to_numpy())
    rows = [
        ("accuracy of", ""),
        (a, f"{100 * first.mean():.2f} %"),
        (b, f"{100 * second.mean():.2f} %"),
        (f"of {len(correct)} images", ""),
        ("right in the first only", (first & ~second).sum()),
        ("right in the second only", (second & ~first).sum()),
        ("right in both or neither", (first == second).sum()),
        ("p (exact, two-sided)", f"{p:.4g}"),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"  {name:<{width}}  {value}".rstrip())
    better, worse = (a, b) if gains.sum() > 0 else (b, a)
    meaning = f"{better} is better than {worse}: if they were equally good, a"
    comes = "would come"
    if p >= uncertainty.SIGNIFICANT:
        meaning, comes = f"{a} and {b} cannot be told apart: a", "comes"
    print(f"{meaning} difference as large as this {comes} by chance with p = {p:.3g}.")
