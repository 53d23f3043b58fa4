"""What a network said about every image of a split, as a CSV file.

    id,label,prediction,<class 1>,<class 2>,...
    test_0001.jpg,fear,surprise,0.01,0.02,...

Label and prediction are class names; the rest are the probabilities of the classes.
"""

from __future__ import annotations

import csv
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

import numpy as np

from qcs_jax.system import files
from qcs_jax.system.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

PREDICTIONS_FILE = "predictions.csv"
_HEADER = ["id", "label", "prediction"]


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a network says of N images."""

    ids: tuple[str, ...]
    labels: np.ndarray  # int [N]
    probabilities: np.ndarray  # float32 [N, k]
    class_names: tuple[str, ...]

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class, int `[N]`."""
        return np.argmax(self.probabilities, axis=1)

    @property
    def correct(self) -> np.ndarray:
        """Whether each is the label, bool `[N]`."""
        return self.predicted == self.labels

    def by_image(self) -> pd.Series:
        """Returns whether each answer is correct, sorted by id and class of the image.

        Raises UserError if an id occurs twice.
        """
        import pandas as pd

        classes = np.array(self.class_names)[self.labels]
        index = pd.MultiIndex.from_arrays([self.ids, classes])
        correct = pd.Series(self.correct, index).sort_index()
        ids = correct.index.get_level_values(0)
        for name in ids[ids.duplicated()][:1]:
            raise UserError(f"{name!r} occurs twice")
        return correct


def matched(a: Predictions, b: Predictions) -> pd.DataFrame:
    """Returns whether two networks were right about the same images, in any order.

    As bool columns `first` and `second`, by id and class. Raises UserError if images or
    their labels differ, or an id occurs twice.
    """
    import pandas as pd

    correct = {"first": a.by_image(), "second": b.by_image()}
    both = pd.concat(correct, axis=1, sort=True)
    missing = both.index[both.isna().any(axis=1)]
    for name, label in missing[:1]:
        raise UserError(
            f"the predictions are about different images, or other labels: "
            f"{len(missing)} of {len(both)} are in one file only, such as {name!r} of "
            f"{label!r}. Evaluate both runs on the same split of the same data set"
        )
    return both


def write(
    path: str | pathlib.Path,
    ids: Sequence[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
) -> None:
    """Writes the complete file or none; `read` returns exactly the same float32."""
    with (
        files.replacing(path) as unfinished,
        unfinished.open("w", encoding="utf-8", newline="") as file,
    ):
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([*_HEADER, *class_names])
        for name, label, row in zip(ids, labels, probabilities, strict=True):
            # Nine significant digits tell any two float32 apart.
            numbers = (format(float(p), ".9g") for p in row)
            guess = class_names[int(np.argmax(row))]
            rows.writerow([name, class_names[label], guess, *numbers])


def read(path: str | pathlib.Path) -> Predictions:
    """Reads what `write` wrote.

    Raises UserError if it is no such file, naming the line; OSError for no file.
    """
    try:
        with pathlib.Path(path).open(encoding="utf-8", newline="") as file:
            return _parse(file)
    except ValueError as error:
        raise UserError(
            f"{path} holds no predictions: {error}. Give the {PREDICTIONS_FILE} of a "
            f"run, which qcs-jax evaluate writes"
        ) from None


def _parse(file: TextIO) -> Predictions:
    try:
        header, *rows = [row for row in csv.reader(file, strict=True) if row]
    except (ValueError, csv.Error) as error:  # ValueError: it is empty, or no text
        raise ValueError(f"it is no CSV file with a header ({error})") from None
    start, names = header[: len(_HEADER)], tuple(header[len(_HEADER) :])
    if start != _HEADER or not names or len(set(names)) < len(names):
        raise ValueError(f"its first line is not {','.join(_HEADER)},CLASS,CLASS,...")
    if not rows:
        raise ValueError("it has no line but the first")
    parsed = []
    for number, row in enumerate(rows, start=2):
        try:
            parsed.append(_parse_row(row, names))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    ids, labels, p = zip(*parsed, strict=True)
    return Predictions(ids, np.array(labels), np.array(p, np.float32), names)


def _parse_row(row: list[str], names: tuple[str, ...]) -> tuple[str, int, list[float]]:
    """Returns id, label and probabilities of a line."""
    if len(row) != len(_HEADER) + len(names):
        raise ValueError(f"{len(row)} values, not {len(_HEADER) + len(names)}")
    image, label, prediction, *texts = row
    for name in (label, prediction):
        if name not in names:
            raise ValueError(f"{name!r} is none of the classes {', '.join(names)}")
    numbers = [float(text) for text in texts]
    if wrong := [x for x in numbers if not 0 <= x <= 1.0001]:
        raise ValueError(f"a probability is {wrong[0]:g}, not between 0 and 1")
    if numbers[names.index(prediction)] < max(numbers):
        raise ValueError(f"{prediction!r} is not the most probable class")
    return image, names.index(label), numbers
