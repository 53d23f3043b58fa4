"""Finds the faces in image files and classifies them.

qcs-jax predict party.jpg --draw=drawn
find . -name '*.jpg' | qcs-jax predict --checkpoint=RUN - --json
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

from qcs_jax.system import command, signals
from qcs_jax.system.errors import UserError


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="qcs-jax predict",
        description="Finds the faces in image files and classifies them. An image that "
        "is cropped to a face, as training images are, is taken whole.",
        epilog="Exit status: 0 if every image was read, 1 if some were not, 2 if the "
        "command could not do its work.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    text = "a file, a pattern in quotes, a folder; or -: standard input has one a line"
    add("images", metavar="IMAGE", nargs="+", help=text)
    add_network(parser)
    text = "each image is a face, and taken whole; always so for networks of drawings"
    add("--crops", action="store_true", help=text)
    add("--json", action="store_true", help="print all of it as JSON, not a table")
    add("--out", metavar="FILE", help="write all probabilities: .csv or .json")
    add("--draw", metavar="FOLDER", help="write photographs with boxes and labels")
    args = parser.parse_intermixed_args(argv)  # flags may stand between images
    if args.crops and (args.draw or args.detector):
        parser.error("--draw and --detector are for photographs: leave out --crops")
    with signals.ending():
        return command.run(lambda: _classify(args), failure=2)


def add_network(parser: argparse.ArgumentParser, *, flip: bool = True) -> None:
    """Adds the flags that say how faces are found and classified."""
    add = parser.add_argument
    parser.set_defaults(flip=False)
    text = "a run, one of its steps, or a file of weights; default: the network for "
    text += "photographs that comes with the package"
    add("--checkpoint", metavar="RUN", help=text)
    if flip:
        text = "the mean of what a face and its mirror image give; twice the time"
        add("--flip", action="store_true", help=text)
    add("--detector", metavar="YUNET.onnx", help="find faces with it, not BlazeFace")


def load_network(args: argparse.Namespace) -> Any:
    """Loads what the flags of `add_network` say; notes go to standard error."""
    from qcs_jax.predict import classifier
    from qcs_jax.predict.yunet import YuNet

    detector = None if args.detector is None else YuNet(args.detector)
    path = classifier.PRETRAINED if args.checkpoint is None else args.checkpoint
    with contextlib.redirect_stdout(sys.stderr):
        return classifier.load(path, flip=args.flip, detector=detector)


def _classify(args: argparse.Namespace) -> int:
    """Returns 1 if an image could not be read, else 0."""
    # Imported here, so that --help and a wrong flag answer at once.
    from qcs_jax.predict import output
    from qcs_jax.predict.answers import Photograph, Prediction

    if args.out is not None:
        output.check(args.out)
    classifier = load_network(args)
    names = classifier.class_names
    crops = args.crops or classifier.drawn
    if crops and args.draw is not None:
        raise UserError("--draw: a network of drawings finds no faces: leave it out")
    predict = classifier.predict_each if crops else classifier.predict_photos
    answers = output.with_progress(predict(_paths(args.images)))
    if args.draw is not None:
        answers = _drawn(answers, pathlib.Path(args.draw))
    with contextlib.ExitStack() as stack:
        record = None
        if args.out is not None:
            columns = (Prediction if crops else Photograph).COLUMNS
            record = stack.enter_context(output.writer(args.out, names, columns))
        if args.json:
            return output.print_json(answers, record)
        return output.print_table(answers, names, record, photographs=not crops)


def _drawn(answers: Iterator[Any], folder: pathlib.Path) -> Iterator[Any]:
    """Draws every photograph that passes into a new file; none is ever replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    for answer in answers:
        if hasattr(answer, "draw"):
            stem = pathlib.Path(answer.path).stem
            for i in itertools.count(1):
                name = f"{stem}.jpg" if i == 1 else f"{stem}-{i}.jpg"
                with contextlib.suppress(FileExistsError):
                    _save_new(answer.draw(), folder / name)
                    break
        yield answer


def _save_new(image: Any, path: pathlib.Path) -> None:
    """Writes a JPEG, complete or not at all; FileExistsError if there is a file."""
    path.touch(exist_ok=False)
    try:
        image.save(path, "JPEG", quality=90)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _paths(images: list[str]) -> Iterator[str]:
    """The arguments; in the place of "-", what standard input names."""
    for path in images:
        if path != "-":
            yield path
            continue
        for line in sys.stdin.buffer:  # names of files need not be valid text
            if name := os.fsdecode(line.rstrip(b"\r\n")):
                yield name


if __name__ == "__main__":
    command.start(main)
