"""Draws the paper's figures from a checkpoint and images, or writes a run's page.

qcs-jax visualize --checkpoint=RUN
qcs-jax visualize --checkpoint=RUN --figures=heatmaps --images=FOLDER
qcs-jax report RUN [--data_dir=DIR]
"""

from __future__ import annotations

import argparse
import pathlib

from qcs_jax.figures import FIGURES, Unavailable
from qcs_jax.system import command
from qcs_jax.system.errors import UserError

# What draws is imported where it is used: matplotlib is an extra, and takes a second.


def main(argv: list[str] | None = None, name: str = "visualize") -> int:
    """Runs the command line of `visualize` or `report`; returns the exit status."""
    return _report(argv) if name == "report" else _visualize(argv)


def _report(argv: list[str] | None) -> int:
    about = "Writes the page about an evaluated run."
    parser = argparse.ArgumentParser(prog="qcs-jax report", description=about)
    parser.add_argument("run", type=pathlib.Path, help="workdir of an evaluated run")
    parser.add_argument("--data_dir", default="", help="root of prepared data sets")
    args = parser.parse_args(argv)
    return command.run(lambda: _write(args))


def _write(args: argparse.Namespace) -> None:
    from qcs_jax.figures import page

    print(f"written to {page.write_page(args.run, args.data_dir)}")


def _visualize(argv: list[str] | None) -> int:
    names = "\n".join(f"  {name:<14}{what}" for name, what in FIGURES.items())
    parser = argparse.ArgumentParser(
        prog="qcs-jax visualize",
        description="Draws the paper's figures from a checkpoint and images.",
        epilog=f"figures:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="RUN", help="workdir, or one step of it")
    add("--figures", default="all", metavar="NAME,...", help="default: all")
    images = "CLASS/*.jpg; default: the test split of the run's data set"
    add("--images", default="", metavar="FOLDER", help=images)
    add("--data_dir", default="", metavar="DIR", help="root of prepared data sets")
    add("--out", metavar="DIR", help="folder to write; default: RUN/figures")
    add("--seed", default=0, type=int, help="chooses the faces that are shown")
    args = parser.parse_args(argv)
    if args.seed < 0:
        parser.error(f"--seed={args.seed}: give 0 or more")
    named = [name.strip() for name in args.figures.split(",")]
    named = [] if named == ["all"] else named
    for name in named:
        if name not in FIGURES:
            known = f"all, {', '.join(FIGURES)}"
            parser.error(f"argument --figures: no figure {name!r}: choose from {known}")
    return command.run(lambda: _draw(args, named))


def _draw(args: argparse.Namespace, named: list[str]) -> None:
    from qcs_jax.figures import paper, style

    scene = paper.Scene(
        args.checkpoint, folder=args.images, data_dir=args.data_dir, seed=args.seed
    )
    print(f"{args.checkpoint}, step {scene.trained.step}:")
    out = args.out or scene.trained.workdir / "figures"
    for name in named or FIGURES:
        try:
            figure = paper.DRAW[name](scene)
        except Unavailable as reason:
            if named:
                raise UserError(f"{name}: {reason}") from reason
            print(f"skipped {name}: {reason}")
            continue
        for file in style.save(figure, out, name):
            print(f"wrote {file}")
