"""Answers as they come: a table or JSON on standard output, all of it in files."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

from tqdm import tqdm

from qcs_jax.predict.answers import NO_FACE, Failure, Photograph, Prediction, rows
from qcs_jax.predict.quality import noted
from qcs_jax.system import command
from qcs_jax.system.errors import UserError

Record = Callable[[Any], None]  # writes an answer

_TOGETHER = 32  # rows of faces that are set in columns together


def check(path: str | os.PathLike, suffixes: Sequence[str] = (".csv", ".json")) -> None:
    """Raises UserError unless `path` is a file of such a name that can be made."""
    path = pathlib.Path(path)
    if path.suffix.lower() not in suffixes:
        raise UserError(f"{path}: give a name that ends in {' or '.join(suffixes)}")
    if path.is_dir():
        raise UserError(f"{path} is a folder: give a file")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}")


@contextlib.contextmanager
def writer(
    path: str | os.PathLike, class_names: Sequence[str], columns: Sequence[str]
) -> Iterator[Record]:
    """Opens a .csv or .json file and gives the function that writes an answer into it.

    What was written so far is a complete file also when the work is interrupted.
    """
    path = pathlib.Path(path)
    # The names of files need not be valid text.
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        if path.suffix.lower() == ".csv":
            yield _csv_writer(file, [*columns, *class_names, "error"])
        else:
            with json_writer(file) as record:
                yield record


def _csv_writer(file: TextIO, heads: list[str]) -> Record:
    table = csv.writer(file, lineterminator="\n")
    table.writerow(heads)

    def record(answer: Any) -> None:
        for row in rows(answer, len(heads)):
            table.writerow([_short(x) if isinstance(x, float) else x for x in row])

    return record


def _short(x: float) -> str:
    """Six digits of a probability; places and times are rounded already."""
    return f"{x:.6g}" if abs(x) < 1 else f"{x:.12g}"


@contextlib.contextmanager
def json_writer(file: TextIO) -> Iterator[Record]:
    """Writes a list into an open file; gives the function that writes an answer."""
    file.write("[")
    separator = "\n"

    def record(answer: Any) -> None:
        nonlocal separator
        text = json.dumps({**answer.to_dict(), "error": getattr(answer, "error", None)})
        file.write(separator + text)
        separator = ",\n"

    try:
        yield record
    finally:
        file.write("\n]\n")


def with_progress(
    answers: Iterator[Any], unit: str = " images", total: float | None = None
) -> Iterator[Any]:
    """A bar where somebody looks and rows of the table do not show it already.

    `total` is infinite where there is no table, and no number of answers is known.
    """
    watched = sys.stderr.isatty() and (total or not sys.stdout.isatty())
    bar = tqdm(answers, disable=not watched, unit=unit, total=total, delay=2)
    # One iterator, because every iter() of a bar would start a new one.
    return iter(bar)


def print_json(answers: Iterator[Any], record: Record | None) -> int:
    """Prints a list in JSON; see `print_table`."""
    with json_writer(sys.stdout) as show:
        return _print(answers, lambda block: [*map(show, block)], record, together=1)


def print_table(
    answers: Iterator[Any],
    class_names: Sequence[str],
    record: Record | None,
    *,
    photographs: bool,
) -> int:
    """Prints the two most probable classes of each face, failures to standard error.

    Photographs have a column for where the face is. `record` writes each answer into a
    file. Returns 1 if an image could not be read, else 0.
    """
    label = max(map(len, ("label", *class_names)))
    widths = [len("file"), label, 5, label, 5, 0]
    heads = [["file", "label", "p", "second", "p", *(["where"] if photographs else [])]]

    def show(block: list[Any]) -> None:
        widths[0] = max(widths[0], *(len(str(answer.path)) for answer in block))
        lines = [cells for answer in block for cells in _cells(answer)]
        if lines and heads:
            lines.insert(0, heads.pop())
        for cells in lines:
            pairs = zip(cells, widths, strict=False)
            _say("  ".join(f"{cell!s:{width}}" for cell, width in pairs).rstrip())

    # Photographs are large, and take long.
    return _print(answers, show, record, together=1 if photographs else _TOGETHER)


def _print(
    answers: Iterator[Any],
    show: Callable[[list[Any]], Any],
    record: Record | None,
    together: int,
) -> int:
    count = failed = 0
    while block := list(itertools.islice(answers, together)):
        failures = [answer for answer in block if isinstance(answer, Failure)]
        count, failed = count + len(block), failed + len(failures)
        if record is not None:
            for answer in block:
                record(answer)
        try:
            show(block)
            sys.stdout.flush()
        except BrokenPipeError:  # `| head` has seen enough; the file wants the rest
            if record is None:
                raise
            command.discard_output()
        for failure in failures:
            _say(f"error: {failure}", sys.stderr)
    if failed:
        _say(f"{failed} of {count} could not be read", sys.stderr)
    return 1 if failed else 0


def _cells(answer: Any) -> Iterator[list]:
    """Of the table, a row for each face."""
    if isinstance(answer, Photograph) and not answer.faces:
        yield [answer.path, NO_FACE]
    alone = [answer] if isinstance(answer, Prediction) else []
    for face in getattr(answer, "faces", alone):
        (first, p1), (second, p2) = face.top(2)
        cells = [answer.path, first, f"{p1:.3f}", second, f"{p2:.3f}"]
        if isinstance(answer, Photograph):
            place = ", ".join(f"{x:.0f}" for x in face.box)
            place = "taken whole" if answer.whole else place
            cells.append(place + noted(face.quality))
        yield cells


def _say(line: str, stream: TextIO | None = None) -> None:
    tqdm.write(line, file=stream)  # above the bar, if there is one
