"""Trains or evaluates a configuration.

    python -m qcs_jax.main --config=configs/demo.py [--workdir=DIR] [--mode=train|eval]

Any field of the configuration can be set: --config.train.epochs=10.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qcs_jax.config import flags
from qcs_jax.system import command
from qcs_jax.system.errors import UserError

if TYPE_CHECKING:
    import ml_collections

    from qcs_jax.train.evaluate import Evaluation


def main(argv: Sequence[str] | None = None, mode: str | None = None) -> int:
    """Runs the command line; returns the exit status.

    Where the name of the command says the mode, "train" or "eval", there is no flag for
    it.
    """
    parser = argparse.ArgumentParser(
        prog=command.name("main"),
        description={
            None: "Trains or evaluates a configuration.",
            "train": "Trains a configuration, or goes on with its run.",
            "eval": "Evaluates a run, and writes the page about it.",
        }[mode],
        epilog=flags.EPILOG,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--config", required=True, metavar="FILE", help=flags.HELP)
    add("--workdir", metavar="DIR", help="default: runs/<name>")
    if mode is None:
        add("--mode", choices=("train", "eval"), default="train", help="default: train")
    add("--multihost", action="store_true", help="this is one of several processes")
    argv = sys.argv[1:] if argv is None else argv
    args, overrides = parser.parse_known_args(argv)
    try:
        config = flags.read_config(args.config, overrides)
    except UserError as error:
        parser.error(str(error))
    if args.multihost:
        import jax

        jax.distributed.initialize()
    workdir = args.workdir or f"runs/{config.name}"
    evaluate = f"{command.line('evaluate', 'main')} {shlex.join(argv)}"
    if mode is None:
        evaluate += " --mode=eval"
    return run(mode or args.mode, config, workdir, evaluate)


# What computes is imported where it is used: --help and a wrong flag answer at once.
def run(
    mode: str, config: ml_collections.ConfigDict, workdir: str | os.PathLike, then: str
) -> int:
    """Runs the mode "train" or "eval"; returns the exit status, see `command.run`.

    `then` is the command that evaluates what was trained.
    """

    def train() -> None:
        from qcs_jax.train.loop import train_and_evaluate

        print(train_and_evaluate(config, workdir))
        print(f"  next              {then}")

    def evaluate() -> None:
        from qcs_jax.train.evaluate import evaluate_run

        evaluation = evaluate_run(config, workdir)
        print(evaluation)
        _report(evaluation, config.data.dir)

    return command.run(evaluate if mode == "eval" else train)


def _report(evaluation: Evaluation, data_dir: str) -> None:
    """Writes the page about an evaluation of a run on its own test split."""
    import jax

    from qcs_jax import report

    if not evaluation.own or jax.process_index():
        return
    try:
        from qcs_jax.report import page  # matplotlib and others are an extra

        print(f"  report in {page.write(evaluation.folder, data_dir)}")
    except UserError as error:
        (evaluation.folder / report.PAGE).unlink(missing_ok=True)  # of other numbers
        print(f"note: there is no report: {error}")


if __name__ == "__main__":
    command.start(main)
