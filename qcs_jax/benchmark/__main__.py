"""Measures a configuration on this machine: compilation, steps, memory and input.

qcs-jax benchmark --config=configs/raf.py
qcs-jax benchmark --config=configs/raf.py --mode=infer
qcs-jax benchmark --config=configs/demo.py --mode=input --json

Any field of the configuration can be set: --config.train.batch_size=48.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from qcs_jax.config import flags
from qcs_jax.system import command
from qcs_jax.system.errors import UserError

MODES = ("train", "infer", "input", "count")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="qcs-jax benchmark",
        description="Measures a configuration on the devices of this machine, in "
        "float32 and in bfloat16, on random weights: the train step and the input "
        "pipeline (train), the base branch (infer), the input pipeline alone (input); "
        "or counts the operations of a step and runs nothing (count).",
        epilog=flags.EPILOG,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--config", required=True, metavar="FILE", help=flags.HELP)
    add("--mode", choices=MODES, default="train", help="default: train")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    at_most = "at most; default: 10"
    add("--steps", type=command.count, default=10, metavar="N", help=at_most)
    until = "no further step after so many in each precision; default: 60"
    add("--seconds", type=command.positive, default=60.0, metavar="S", help=until)
    args, overrides = parser.parse_known_args(sys.argv[1:] if argv is None else argv)
    try:
        config = flags.read_config(args.config, overrides)
    except UserError as error:
        parser.error(str(error))

    def measure() -> None:
        # What computes is imported where it is used: --help answers at once.
        from qcs_jax.benchmark import report
        from qcs_jax.benchmark.programs import Limits

        measured = report.create(args.mode, config, Limits(args.steps, args.seconds))
        text = json.dumps(measured, indent=2) if args.json else report.as_text(measured)
        print(text)

    return command.run(measure)


if __name__ == "__main__":
    command.start(main)
