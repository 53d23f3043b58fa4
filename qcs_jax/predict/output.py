"""Answers as they come: a table on standard output, all probabilities in a file."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from tqdm import tqdm

from qcs_jax.predict.prediction import Failure, Prediction
from qcs_jax.system import command
from qcs_jax.system.errors import UserError

Record = Callable[[Prediction | Failure], None]

_ROWS = 32  # of the table that are set in columns together


def check(path: str | os.PathLike) -> None:
    """Raises UserError unless `path` is a .csv or .json file that can be made."""
    path = pathlib.Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise UserError(f"--out={path}: give a name that ends in .csv or .json")
    if path.is_dir():
        raise UserError(f"--out={path} is a folder: give a file")
    if not path.absolute().parent.is_dir():
        raise UserError(f"--out={path}: there is no folder {path.parent}")


@contextlib.contextmanager
def writer(path: str | os.PathLike, class_names: Sequence[str]) -> Iterator[Record]:
    """Opens a file and gives the function that writes an answer into it.

    What was written so far is a whole file also when the work is interrupted.

    Args:
      path: Ends in `.csv` (columns file, label, one a class, error) or `.json` (a list
        of objects with the fields file, label, probabilities, error).
      class_names: In the order of the probabilities.
    """
    path = pathlib.Path(path)
    with (
        # The names of files need not be valid text.
        path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
        _WRITERS[path.suffix.lower()](file, class_names) as record,
    ):
        yield record


@contextlib.contextmanager
def _csv(file: TextIO, class_names: Sequence[str]) -> Iterator[Record]:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["file", "label", *class_names, "error"])

    def record(answer: Prediction | Failure) -> None:
        if isinstance(answer, Failure):
            blank = [""] * (1 + len(class_names))
            rows.writerow([answer.path, *blank, answer.error])
        else:
            p = (f"{p:.6g}" for p in answer.probabilities)
            rows.writerow([answer.path, answer.label, *p, ""])

    yield record


@contextlib.contextmanager
def _json(file: TextIO, class_names: Sequence[str]) -> Iterator[Record]:
    file.write("[")
    separator = "\n"

    def record(answer: Prediction | Failure) -> None:
        nonlocal separator
        label = probabilities = error = None
        if isinstance(answer, Failure):
            error = answer.error
        else:
            label = answer.label
            p = (float(f"{p:.6g}") for p in answer.probabilities)
            probabilities = dict(zip(class_names, p, strict=True))
        fields = dict(
            file=answer.path, label=label, probabilities=probabilities, error=error
        )
        file.write(separator + json.dumps(fields))
        separator = ",\n"

    try:
        yield record
    finally:
        file.write("\n]\n")


_WRITERS = {".csv": _csv, ".json": _json}


def with_progress(
    answers: Iterator[Prediction | Failure],
) -> Iterator[Prediction | Failure]:
    """A bar where somebody looks and rows of the table do not show it already."""
    watched = sys.stderr.isatty() and not sys.stdout.isatty()
    # One iterator, because every iter() of a bar would start a new one.
    return iter(tqdm(answers, disable=not watched, unit=" images", delay=2))


def tell(
    answers: Iterator[Prediction | Failure],
    label_width: int,
    record: Record | None,
) -> int:
    """Prints the table, failures to standard error.

    Args:
      answers: Any number of them.
      label_width: Width of the column of labels.
      record: Writes each answer into a file, or None.

    Returns:
      1 if an image could not be classified, else 0.
    """
    file_width, count, failed = len("file"), 0, 0
    while block := list(itertools.islice(answers, _ROWS)):
        file_width = max(file_width, *(len(str(answer.path)) for answer in block))
        if record is not None:
            for answer in block:
                record(answer)
        try:
            if not count:
                header = ("file", "label", "p", "second", "p")
                _say(_row(header, file_width, label_width))
            for answer in block:
                if isinstance(answer, Failure):
                    _say(f"error: {answer}", sys.stderr)
                else:
                    (first, p1), (second, p2) = answer.top(2)
                    cells = (answer.path, first, f"{p1:.3f}", second, f"{p2:.3f}")
                    _say(_row(cells, file_width, label_width))
            sys.stdout.flush()
        except BrokenPipeError:  # `| head` has seen enough; the file wants the rest
            if record is None:
                raise
            command.discard_output()
        failed += sum(isinstance(answer, Failure) for answer in block)
        count += len(block)
    if failed:
        _say(f"{failed} of {count} could not be classified", sys.stderr)
    return 1 if failed else 0


def _row(cells: tuple, file_width: int, label_width: int) -> str:
    file, first, p1, second, p2 = cells
    return (
        f"{file:{file_width}}  {first:{label_width}}  {p1:5}  "
        f"{second:{label_width}}  {p2:5}"
    ).rstrip()


def _say(line: str, stream=None) -> None:
    tqdm.write(line, file=stream)  # above the bar, if there is one
