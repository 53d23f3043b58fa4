"""Trains or evaluates a configuration.

    python -m qcs_jax.main --config=configs/demo.py [--workdir=DIR] [--mode=train|eval]

Any field of the configuration can be set: --config.train.epochs=10.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qcs_jax.config import flags
from qcs_jax.system import command, signals
from qcs_jax.system.errors import UserError
from qcs_jax.system.processes import Meeting

if TYPE_CHECKING:
    import pathlib

    import ml_collections

# Mode that the name of the command says -> that name, and what it does.
_COMMANDS = {
    None: ("python -m qcs_jax.main", "Trains or evaluates a configuration."),
    "train": ("qcs-jax train", "Trains a configuration, or goes on with its run."),
    "eval": ("qcs-jax evaluate", "Evaluates a run, and writes the page about it."),
}


def main(argv: Sequence[str] | None = None, mode: str | None = None) -> int:
    """Runs the command line, with no flag for a mode that its name says; see `run`."""
    parser = _parser(mode)
    args, overrides = parser.parse_known_args(argv)
    try:
        config = flags.read_config(args.config, overrides)
        meeting = _meeting(args)
        for flag in ("corruptions", "groups"):
            if getattr(args, flag) and args.mode == "train":
                raise UserError(f"--{flag} is for --mode=eval")
        if args.groups == "":
            raise UserError("--groups= names no file: give a CSV file")
    except UserError as error:
        parser.error(str(error))
    same = [f"--config={args.config}", *overrides]
    if args.workdir:
        same.append(f"--workdir={args.workdir}")
    return run(
        args.mode,
        config,
        args.workdir or f"runs/{config.name}",
        f"qcs-jax evaluate {command.typed(*same)}",
        meeting,
        corruptions=args.corruptions,
        grouped=args.groups or "",
    )


def _parser(mode: str | None) -> argparse.ArgumentParser:
    prog, description = _COMMANDS[mode]
    parser = argparse.ArgumentParser(
        prog=prog, description=description, epilog=flags.EPILOG, allow_abbrev=False
    )
    parser.set_defaults(mode=mode, corruptions=False, groups=None)
    add = parser.add_argument
    add("--config", required=True, metavar="FILE", help=flags.HELP)
    add("--workdir", metavar="DIR", help="default: runs/<name>")
    if mode is None:
        add("--mode", choices=("train", "eval"), default="train", help="default: train")
    if mode != "train":
        add(
            "--corruptions",
            action="store_true",
            help="evaluate on worse images, too: blurred, noisy, dark, hidden in part",
        )
        add(
            "--groups",
            metavar="CSV",
            help="evaluate groups of people, too; the first line is id,COLUMN,...",
        )
    add = parser.add_argument_group(
        "several processes", "Each is started with the same command, but for --process."
    ).add_argument
    add("--multihost", action="store_true", help="this is one; the cluster says which")
    add("--coordinator", metavar="HOST:PORT", help="where process 0 is reached")
    add("--processes", type=int, metavar="N", help="how many there are")
    add("--process", type=int, metavar="I", help="the number of this one, from 0")
    add(
        "--patience",
        type=int,
        metavar="SECONDS",
        help=f"without a sign of life after which one is lost; default: "
        f"{Meeting.patience}",
    )
    return parser


def _meeting(args: argparse.Namespace) -> Meeting | None:
    """How this process meets others; None if it is alone."""
    by_hand = args.coordinator, args.processes, args.process
    if None in by_hand and any(value is not None for value in by_hand):
        raise UserError("--coordinator, --processes and --process belong together")
    if None in by_hand and not args.multihost:
        if args.patience is not None:
            raise UserError("--patience is for several processes: add --multihost")
        return None
    if args.coordinator is not None:
        host, _, port = args.coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise UserError(f"--coordinator={args.coordinator}: give HOST:PORT")
        if not 0 <= args.process < args.processes:
            raise UserError(
                f"--process={args.process} --processes={args.processes}: processes "
                f"are numbered from 0 to {max(args.processes - 1, 0)}"
            )
    if args.patience is not None and args.patience < 1:
        raise UserError(f"--patience={args.patience}: give 1 or more seconds")
    return Meeting(*by_hand, args.patience or Meeting.patience)


# What computes is imported where it is used: --help and a wrong flag answer at once.
def run(
    mode: str,
    config: ml_collections.ConfigDict,
    workdir: str | os.PathLike,
    then: str,
    meeting: Meeting | None = None,
    *,
    corruptions: bool = False,
    grouped: str | os.PathLike = "",
) -> int:
    """Runs the mode "train" or "eval"; returns the exit status, see `command.run`.

    `then` is the command that evaluates what was trained; the status is `GONE` if a
    process of the `meeting` is lost; for the others see `evaluate_run`.
    """

    def work() -> None:
        with meeting.together(after_loss) if meeting else contextlib.nullcontext():
            evaluate() if mode == "eval" else train()

    def train() -> None:
        from qcs_jax.train.loop import train_and_evaluate

        print(train_and_evaluate(config, workdir))
        print(f"  next              {then}")

    def evaluate() -> None:
        from qcs_jax.train.evaluate import evaluate_run

        with signals.ending():
            evaluation = evaluate_run(
                config, workdir, corruptions=corruptions, grouped=grouped
            )
            print(evaluation)
            if evaluation.own:
                report(evaluation.folder)

    def report(folder: pathlib.Path) -> None:
        """Writes the page about the run's evaluation on its own test split."""
        import jax

        from qcs_jax.figures import PAGE

        old = folder / PAGE  # of other numbers, unless it is replaced
        if jax.process_count() > 1:  # it loads the run again: all would be needed
            old.unlink(missing_ok=True)
            print(f"  next        qcs-jax report {folder}")
            return
        try:
            from qcs_jax.figures import page  # matplotlib and others are an extra

            print(f"  report in {page.write_page(folder, config.data.dir)}")
        except UserError as error:
            old.unlink(missing_ok=True)
            print(f"note: there is no report: {error}")

    def after_loss() -> str:
        from qcs_jax.checkpoint import newest_step

        step = newest_step(workdir) if mode == "train" else None
        after = "" if step is None else f", to resume after step {step}"
        return f"Start all processes again{after}."

    return command.run(work)


if __name__ == "__main__":
    command.start(main)
