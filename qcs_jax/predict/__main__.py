"""Classifies image files.

python -m qcs_jax.predict faces/*.jpg
find . -name '*.jpg' | python -m qcs_jax.predict --checkpoint=RUN - --out=faces.csv

Exit status: 0 if every image was classified, 1 if some were not, 2 if the command
could not do its work, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator

from qcs_jax.system import command


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    args = _parse(argv)
    return command.run(lambda: _classify(args), failure=2)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m qcs_jax.predict",
        description="Classifies image files.",
        epilog="Exit status: 0 if every image was classified, 1 if some were not, 2 if "
        "the command could not do its work.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "images",
        metavar="IMAGE",
        nargs="+",
        help="a file, a pattern in quotes, a folder; or - to read them from standard "
        "input, one a line",
    )
    add(
        "--checkpoint",
        metavar="RUN",
        help="a run, one of its steps, or a file of weights; default: the network for "
        "photographs that comes with the package",
    )
    add("--out", metavar="FILE", help="write all probabilities: .csv or .json")
    add(
        "--align",
        action="store_true",
        help="find the largest face of each image first, and set it straight; needs "
        "the extra qcs_jax[align]",
    )
    add(
        "--detector",
        metavar="YUNET.onnx",
        help="find faces with this detector, and set them straight",
    )
    return parser.parse_args(argv)


def _classify(args: argparse.Namespace) -> int:
    """Returns 1 if an image could not be classified, else 0."""
    # Imported here, so that --help and a wrong flag answer at once.
    from qcs_jax.predict import align, loading, output, yunet

    if args.out is not None:
        output.check(args.out)
    detect = None if args.detector is None else yunet.YuNet(args.detector)
    aligner = align.Aligner(detect) if args.align or detect else None
    checkpoint = args.checkpoint or loading.PRETRAINED
    with contextlib.redirect_stdout(sys.stderr):  # notes; the table alone goes there
        loaded = loading.load(checkpoint, aligner=aligner)
    names = loaded.class_names
    answers = output.with_progress(loaded.predict_each(_paths(args.images)))
    with contextlib.ExitStack() as stack:
        record = None
        if args.out is not None:
            record = stack.enter_context(output.writer(args.out, names))
        return output.tell(answers, max(map(len, ("label", *names))), record)


def _paths(given: list[str]) -> Iterator[str]:
    for path in given:
        if path != "-":
            yield path
            continue
        for line in sys.stdin.buffer:  # names of files need not be valid text
            if name := os.fsdecode(line.rstrip(b"\r\n")):
                yield name


if __name__ == "__main__":
    command.start(main)
