"""What evaluations of a run on other data sets have left in its folder."""

from __future__ import annotations

import dataclasses
import json
import pathlib

from qcs_jax.evaluate.run_log import METRICS_FILE


@dataclasses.dataclass(frozen=True)
class Elsewhere:
    """One evaluation.

    Attributes:
      dataset: Name of the data set.
      split: Its split.
      images: Number of images that count.
      counted: Number of the network's classes that have images.
      classes: Number of the network's classes.
      metrics: See `Counts.metrics`.
      interval: Of the accuracy, at 95 %.
      notes: What was done to the images, for people to read.
    """

    dataset: str
    split: str
    images: int
    counted: int
    classes: int
    metrics: dict[str, float]
    interval: tuple[float, float]
    notes: tuple[str, ...]


def find(workdir: pathlib.Path, network: str) -> list[Elsewhere]:
    """Reads all `on_*` folders; what is not about this network is passed over.

    Args:
      workdir: Workdir of a run.
      network: `Trained.digest` of the network that the page is about.

    Returns:
      By data set and split.
    """
    found = []
    for path in workdir.glob(f"on_*/{METRICS_FILE}"):
        try:
            measured = json.loads(path.read_text(encoding="utf-8"))
            if measured["fingerprint"]["network"] == network:
                found.append(_of(measured))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda x: (x.dataset, x.split, x.notes))


def _of(measured: dict) -> Elsewhere:
    shown = ("accuracy", "mean_class_accuracy", "most_frequent", "chance")
    low, high = measured["intervals"]["accuracy"]
    classes = measured["per_class"]
    return Elsewhere(
        measured["dataset"],
        measured["split"],
        measured["examples"],
        sum(row["examples"] > 0 for row in classes),
        len(classes),
        {name: float(measured["metrics"][name]) for name in shown},
        (float(low), float(high)),
        tuple(measured["notes"]),
    )
