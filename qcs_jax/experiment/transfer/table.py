"""The matrix of networks and data sets, for people and for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from qcs_jax.evaluate.tables import aligned
from qcs_jax.experiment.transfer.cells import Cell

_TITLES = {
    "accuracy": "## Accuracy",
    "mean_class_accuracy": "## Mean class accuracy",
}
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
_ABOUT_CELLS = (
    "Of the images of a test split those count whose class the network has. Most "
    "frequent: always answering the class with most images. Chance: one by the number "
    "of the network's classes."
)
Rows = Sequence[Sequence[Cell]]


def markdown(rows: Rows) -> str:
    """Returns both matrices, a list of the cells, and what to know about them."""
    numbers = _footnotes(rows)
    parts = []
    for metric, title in _TITLES.items():
        parts += [
            title,
            aligned(_matrix(rows, metric, numbers), names=2),
            _ABOUT[metric],
        ]
    cells = [cell for row in rows for cell in row if cell.evaluation]
    if cells:
        parts += ["## Cells", aligned(_list(cells), names=2), _ABOUT_CELLS]
    if numbers:
        parts.append("Not measured:")
        parts.append("\n".join(_bullet(f"[{n}] {x}") for x, n in numbers.items()))
    if notes := _notes(cells):
        parts.append("What was done, and what to know:")
        parts.append("\n".join(_bullet(note) for note in notes))
    return "\n\n".join(parts) + "\n"


def _footnotes(rows: Rows) -> dict[str, int]:
    """Reason -> number, in the order of the cells."""
    reasons = [cell.failure for row in rows for cell in row if cell.failure]
    return {reason: n for n, reason in enumerate(dict.fromkeys(reasons), start=1)}


def _bullet(text: str) -> str:
    return "- " + text.replace("\n", "\n  ")


def _matrix(rows: Rows, metric: str, numbers: dict[str, int]) -> list[list[str]]:
    table = [["network", "trained on", *(cell.column.name for cell in rows[0])]]
    for row in rows:
        texts = [_text(cell, metric, numbers) for cell in row]
        table.append([row[0].network, row[0].trained_on or "-", *texts])
    return table


def _text(cell: Cell, metric: str, numbers: dict[str, int]) -> str:
    if cell.evaluation is None:
        return f"- [{numbers[cell.failure]}]"
    measured = cell.evaluation.measured
    low, high = (f"{100 * x:.2f}" for x in measured["intervals"][metric])
    mark = " *" if cell.own else ""
    return f"{100 * measured['metrics'][metric]:.2f} ({low} to {high}){mark}"


def _list(cells: Sequence[Cell]) -> list[list[str]]:
    table = [["network", "data set", "images", "classes", "accuracy", "mean class"]]
    table[0] += ["most frequent", "chance"]
    for cell in cells:
        assert cell.evaluation is not None and cell.column.source is not None
        measured, images = cell.evaluation.measured, len(cell.column.source)
        names = ("accuracy", "mean_class_accuracy", "most_frequent", "chance")
        table.append(
            [
                cell.network,
                cell.column.name,
                f"{measured['examples']} of {images}",
                f"{_classes(measured)} of {len(measured['per_class'])}",
                *(f"{100 * measured['metrics'][name]:.2f}" for name in names),
            ]
        )
    return table


def _classes(measured: dict) -> int:
    """Number of the network's classes that have images."""
    return sum(row["examples"] > 0 for row in measured["per_class"])


def _notes(cells: Sequence[Cell]) -> list[str]:
    """Returns each note once, with the cells that it is about."""
    about: dict[str, list[Cell]] = {}
    for cell in cells:
        for note in cell.notes:
            about.setdefault(note, []).append(cell)
    return [f"{_where(found, cells)}: {note}" for note, found in about.items()]


def _where(found: Sequence[Cell], cells: Sequence[Cell]) -> str:
    columns = list(dict.fromkeys(cell.column.name for cell in found))
    networks = list(dict.fromkeys(cell.network for cell in found))
    if len(found) == sum(cell.column.name in columns for cell in cells):
        return ", ".join(columns)
    if len(found) == sum(cell.network in networks for cell in cells):
        return ", ".join(networks)
    return ", ".join(f"{cell.network} on {cell.column.name}" for cell in found)


def csv_text(rows: Rows) -> str:
    """Returns a line for each cell; accuracies in percent, nothing where it failed."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["network", "trained_on", "step", "chosen", "dataset", "split", "own"]
        + ["label_map", "images", "images_of_split", "classes", "classes_of_network"]
        + ["accuracy", "accuracy_low", "accuracy_high"]
        + ["mean_class_accuracy", "mean_class_accuracy_low", "mean_class_accuracy_high"]
        + ["most_frequent", "chance", "folder", "failure"]
    )
    for cell in (cell for row in rows for cell in row):
        writer.writerow(_line(cell))
    return file.getvalue()


def _line(cell: Cell) -> list[object]:
    column = cell.column
    dataset = column.source.name if column.source else column.asked.name
    if cell.evaluation is None:
        where = [dataset, column.asked.split, ""]
        return [cell.network, cell.trained_on, "", "", *where, *[""] * 14, cell.failure]
    assert column.source is not None
    measured = cell.evaluation.measured
    numbers: list[str] = []
    for metric in _TITLES:
        values = [measured["metrics"][metric], *measured["intervals"][metric]]
        numbers += [f"{100 * value:.2f}" for value in values]
    others = (measured["metrics"][name] for name in ("most_frequent", "chance"))
    return [
        *(cell.network, cell.trained_on, measured["step"], measured["chosen"]),
        *(dataset, column.asked.split, "yes" if cell.own else "no"),
        *(cell.label_map, measured["examples"], len(column.source)),
        *(_classes(measured), len(measured["per_class"])),
        *numbers,
        *(f"{100 * value:.2f}" for value in others),
        *(cell.evaluation.folder, ""),
    ]
