"""From paths to a table on standard output and a file of all probabilities."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Iterable, Iterator

from tqdm import tqdm

from qcs_jax.predict import classifier as inference
from qcs_jax.predict import output
from qcs_jax.predict.prediction import Failure, Prediction

_ROWS = 32  # of the table that are set in columns together


def classify(
    checkpoint: str, paths: Iterable[str], out: str | None, detector: str | None
) -> int:
    """Classifies files and tells the results as they come.

    Args:
      checkpoint: See `qcs_jax.load`.
      paths: Files, patterns and folders; read as far as is needed.
      out: A .csv or .json file to write, or None.
      detector: See `qcs_jax.align.Aligner`, or None.

    Returns:
      1 if an image could not be classified, else 0.

    Raises:
      UserError: before any work, if an argument cannot be used.
    """
    if out is not None:
        output.check(out)
    classifier = inference.load(checkpoint, aligner=_aligner(detector))
    answers = _with_progress(classifier.predict_each(paths))
    width = max(map(len, ("label", *classifier.class_names)))
    with contextlib.ExitStack() as stack:
        record = None
        if out is not None:
            record = stack.enter_context(output.writer(out, classifier.class_names))
        return _tell(answers, width, record)


def _aligner(detector: str | None) -> inference.Aligner | None:
    if detector is None:
        return None
    from qcs_jax import align  # needs an extra

    return align.Aligner(detector)


def _with_progress(
    answers: Iterator[Prediction | Failure],
) -> Iterator[Prediction | Failure]:
    """A bar where somebody looks and rows of the table do not show it already."""
    watched = sys.stderr.isatty() and not sys.stdout.isatty()
    # One iterator, because every iter() of a bar would start a new one.
    return iter(tqdm(answers, disable=not watched, unit=" images", delay=2))


def _tell(
    answers: Iterator[Prediction | Failure],
    label_width: int,
    record: output.Record | None,
) -> int:
    """Prints the table, failures to standard error; returns the exit status."""
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
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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
