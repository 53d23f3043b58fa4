"""The matrix of networks and data sets, for people and for programs."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from qcs_jax.evaluate.comparison import aligned
from qcs_jax.experiment.transfer.cells import Cell
from qcs_jax.system import files

_COLUMNS = (
    *("network", "trained_on", "step", "chosen", "dataset", "split", "own"),
    *("label_map", "images", "images_of_split", "classes", "classes_of_network"),
    *("accuracy", "accuracy_low", "accuracy_high"),
    *("mean_class_accuracy", "mean_class_accuracy_low", "mean_class_accuracy_high"),
    *("most_frequent", "chance", "folder", "failure"),
)
_ABOUT = {
    "accuracy": (
        "In percent, with its 95 % interval over images. `*`: the test of the data set "
        "that the network was trained on. Each column has other images, and other "
        "shares of the classes: compare networks down a column."
    ),
    "mean_class_accuracy": (
        "In percent: every class that has images counts the same, so that this can be "
        "compared along a row, too, as far as the classes are the same."
    ),
}
_CELLS = {
    "network": "{network}",
    "data set": "{title}",
    "images": "{images} of {images_of_split}",
    "classes": "{classes} of {classes_of_network}",
    "accuracy": "{accuracy}",
    "mean class": "{mean_class_accuracy}",
    "most frequent": "{most_frequent}",
    "chance": "{chance}",
}
_ABOUT_CELLS = (
    "Of the images of a test split those count whose class the network has. Most "
    "frequent: always answering the class with most images. Chance: one by the number "
    "of the network's classes."
)
Rows = Sequence[Sequence[Cell]]


def markdown(rows: Rows) -> str:
    """Returns both matrices, a list of the cells, and what to know about them."""
    cells = [cell for row in rows for cell in row]
    failures = list(dict.fromkeys(cell.failure for cell in cells if cell.failure))
    measured = [cell for cell in cells if cell.evaluation]
    parts = []
    for metric, about in _ABOUT.items():
        title = f"## {metric.replace('_', ' ').capitalize()}"
        columns = zip(*_matrix(rows, metric, failures), strict=True)
        parts += [title, aligned(columns, names=2), about]
    if measured:
        lines = [_line(cell) for cell in measured]
        texts = [[x, *(text.format(**y) for y in lines)] for x, text in _CELLS.items()]
        parts += ["## Cells", aligned(texts, names=2), _ABOUT_CELLS]
    if failures:
        numbered = [f"[{i}] {text}" for i, text in enumerate(failures, start=1)]
        parts += ["Not measured:", _bullets(numbered)]
    if notes := _notes(measured):
        parts += ["What was done, and what to know:", _bullets(notes)]
    return "\n\n".join(parts) + "\n"


def write_matrix(rows: Rows, folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes `transfer.md`, `.csv`, `.png` and `.svg` into a folder; returns them."""
    import pandas as pd

    from qcs_jax.figures import charts, style  # matplotlib, once all is measured

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"transfer.{kind}" for kind in ("md", "csv", "png", "svg")]
    files.write_text(paths[0], f"# Transfer\n\n{markdown(rows)}")
    lines = [_line(cell) for row in rows for cell in row]
    frame = pd.DataFrame(lines, columns=[*_COLUMNS], dtype=object)
    files.write_text(paths[1], frame.to_csv(index=False, lineterminator="\n"))
    accuracy, mean_class = (
        np.array([[_metric(cell, metric) for cell in row] for row in rows])
        for metric in _ABOUT
    )
    figure = charts.transfer(
        accuracy,
        mean_class,
        [row[0].network for row in rows],
        [cell.dataset.title for cell in rows[0]],
        [(i, j) for i, row in enumerate(rows) for j, c in enumerate(row) if c.own],
    )
    for path in paths[2:]:
        with files.replacing(path) as unfinished:
            unfinished.write_bytes(style.encoded(figure, path.suffix[1:], style.DPI))
    return paths


def _metric(cell: Cell, metric: str) -> float:
    """A metric of a cell, NaN where nothing was measured."""
    return cell.evaluation.measured["metrics"][metric] if cell.evaluation else np.nan


def _line(cell: Cell) -> dict[str, Any]:
    """What is written of a cell; accuracies in percent."""
    line: dict[str, Any] = {
        "network": cell.network,
        "trained_on": cell.trained_on,
        "title": cell.dataset.title,
        "dataset": cell.dataset.name,
        "split": cell.dataset.split,
        "failure": cell.failure,
    }
    if cell.evaluation is None or cell.dataset.source is None:
        return line
    measured = cell.evaluation.measured
    shares = {x: _metric(cell, x) for x in (*_ABOUT, "most_frequent", "chance")}
    for metric in _ABOUT:
        ends = measured["intervals"][metric]
        shares[f"{metric}_low"], shares[f"{metric}_high"] = ends
    line |= {name: f"{100 * share:.2f}" for name, share in shares.items()}
    return line | {
        "step": measured["step"],
        "chosen": measured["chosen"],
        "own": "yes" if cell.own else "no",
        "label_map": cell.label_map,
        "images": measured["examples"],
        "images_of_split": len(cell.dataset.source),
        "classes": sum(row["examples"] > 0 for row in measured["per_class"]),
        "classes_of_network": len(measured["per_class"]),
        "folder": cell.evaluation.folder,
    }


def _matrix(rows: Rows, metric: str, failures: list[str]) -> list[list[str]]:
    def text(cell: Cell) -> str:
        if cell.evaluation is None:
            return f"- [{failures.index(cell.failure) + 1}]"
        line, mark = _line(cell), " *" if cell.own else ""
        low, high = line[f"{metric}_low"], line[f"{metric}_high"]
        return f"{line[metric]} ({low} to {high}){mark}"

    header = ["network", "trained on", *(cell.dataset.title for cell in rows[0])]
    return [header] + [
        [row[0].network, row[0].trained_on or "-", *map(text, row)] for row in rows
    ]


def _notes(cells: Sequence[Cell]) -> list[str]:
    """Returns each note once, with the cells that it is about."""
    about: dict[str, list[Cell]] = {}
    for cell in cells:
        for note in cell.notes:
            about.setdefault(note, []).append(cell)
    return [f"{_where(some, cells)}: {note}" for note, some in about.items()]


def _where(some: Sequence[Cell], cells: Sequence[Cell]) -> str:
    """Names columns or rows if these are what some of the cells make up."""
    for name in (lambda cell: cell.dataset.title, lambda cell: cell.network):
        names = dict.fromkeys(map(name, some))
        if len(some) == sum(name(cell) in names for cell in cells):
            return ", ".join(names)
    return ", ".join(f"{cell.network} on {cell.dataset.title}" for cell in some)


def _bullets(texts: Sequence[str]) -> str:
    return "\n".join("- " + text.replace("\n", "\n  ") for text in texts)
