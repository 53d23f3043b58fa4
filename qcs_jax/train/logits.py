"""Runs the base branch over a whole split: every example counts once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import jax
import numpy as np
from jax.experimental import multihost_utils


def logits_of(
    eval_step: Callable[[dict, jax.Array], jax.Array],
    variables: dict,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    examples: int,
) -> np.ndarray:
    """Logits of a split, on all hosts.

    Args:
      eval_step: From `train.step.make_eval_step`.
      variables: Parameters and running statistics.
      batches: From `input.pipeline.eval_batches`; what fills the last batch up is left
        out.
      examples: N, of the split.

    Returns:
      float32 `[N, k]`, in the order of the split.
    """
    done: list[tuple[np.ndarray, np.ndarray]] = []
    pending: tuple[jax.Array, np.ndarray] | None = None
    for images, numbers in batches:
        logits = eval_step(variables, images)
        if pending is not None:  # fetched while the devices work on the next batch
            done.append(_fetched(*pending))
        pending = logits, numbers
    if pending is not None:
        done.append(_fetched(*pending))
    numbers = np.concatenate([numbers for numbers, _ in done])
    rows = np.concatenate([rows for _, rows in done])
    logits = np.zeros((examples, rows.shape[1]), np.float32)
    logits[numbers] = rows
    if jax.process_count() > 1:  # each host has filled in its own rows
        logits = multihost_utils.process_allgather(logits).sum(axis=0)
    return logits


def _fetched(logits: jax.Array, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = np.asarray(logits).reshape(len(numbers), -1)
    return numbers[numbers >= 0], rows[numbers >= 0]
