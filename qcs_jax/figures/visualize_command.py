"""Draws the paper's figures from a checkpoint and images.

qcs-jax visualize --checkpoint=RUN
qcs-jax visualize --checkpoint=RUN --figures=heatmaps --images=FOLDER
"""

from __future__ import annotations

import argparse

from qcs_jax.figures import FIGURES, Unavailable
from qcs_jax.system import command
from qcs_jax.system.errors import UserError


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    names = "\n".join(f"  {name:<14}{what}" for name, what in FIGURES.items())
    parser = argparse.ArgumentParser(
        prog="qcs-jax visualize",
        description=__doc__.partition("\n")[0],
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
    from qcs_jax.figures import paper, style  # matplotlib takes a second

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
