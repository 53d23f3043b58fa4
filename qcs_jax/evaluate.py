"""Evaluates the base branch on a whole split: every example counts once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from qcs_jax.metrics import Counts


def evaluate(
    eval_step: Callable[[dict, jax.Array], jax.Array],
    variables: dict,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    labels: np.ndarray,
    num_classes: int,
) -> Counts:
    """Counts over a split, on all hosts.

    Args:
      eval_step: From `train.step.make_eval_step`.
      variables: Parameters and running statistics.
      batches: From `input.pipeline.eval_batches`; what fills the last batch up is not
        counted.
      labels: int `[N]` of the split.
      num_classes: k.
    """
    counts = Counts.zero(num_classes)
    pending: tuple[jax.Array, np.ndarray] | None = None
    for images, examples in batches:
        logits = eval_step(variables, images)
        if pending is not None:  # fetched while the devices work on the next batch
            counts += _count(*pending, labels)
        pending = logits, examples
    if pending is not None:
        counts += _count(*pending, labels)
    return _over_hosts(counts)


def _count(logits: jax.Array, examples: np.ndarray, labels: np.ndarray) -> Counts:
    logits = np.asarray(logits).reshape(len(examples), -1)
    real = examples >= 0
    return Counts.of(logits[real], labels[examples[real]])


def _over_hosts(counts: Counts) -> Counts:
    if jax.process_count() == 1:
        return counts
    fields: dict[str, Any] = vars(counts)
    gathered = {
        name: multihost_utils.process_allgather(np.asarray(value)).sum(axis=0)
        for name, value in fields.items()
    }
    return Counts(**gathered)


def table(counts: Counts, class_names: tuple[str, ...]) -> str:
    """Metrics and recall per class, for the terminal."""
    metrics = counts.metrics()
    names = {
        "accuracy": "accuracy",
        "mean_class_accuracy": "mean class accuracy",
        "macro_f1": "macro F1",
        "nll": "NLL (nats)",
        "ece": "calibration error",
    }
    width = max(map(len, [*names.values(), *class_names]))
    lines = [f"  {text:<{width}}  {metrics[key]:.4f}" for key, text in names.items()]
    lines.append(f"  {'recall of':<{width}}")
    for name, row, hits in zip(
        class_names, counts.confusion, np.diag(counts.confusion), strict=True
    ):
        recall = f"{hits / row.sum():.4f}" if row.sum() else "     -"
        lines.append(f"  {name:<{width}}  {recall}  of {row.sum()}")
    return "\n".join(lines)
