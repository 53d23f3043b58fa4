"""All probabilities in a file, written as they come."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from qcs_jax.predict.prediction import Failure, Prediction
from qcs_jax.system.errors import UserError

Record = Callable[[Prediction | Failure], None]


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
    # The names of files need not be valid text.
    options = dict(encoding="utf-8", errors="surrogateescape", newline="")
    with (
        open(path, "w", **options) as file,
        _WRITERS[pathlib.Path(path).suffix.lower()](file, class_names) as record,
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
