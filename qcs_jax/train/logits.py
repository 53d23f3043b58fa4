"""The answers of a base branch to every image of a split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from qcs_jax.evaluate.counts import finite
from qcs_jax.input.pipeline import Change, eval_batches
from qcs_jax.input.sources import Source
from qcs_jax.train.run import Run

EvalStep = Callable[[dict, Any], jax.Array]


def predict_split(
    run: Run,
    eval_step: EvalStep,
    variables: Any,
    source: Source,
    change: Change | None = None,
) -> np.ndarray:
    """Returns the base branch's logits for a split, float32 `[N, k]`, on all hosts.

    Args:
      run: Says how images are batched.
      eval_step: From `make_eval_step`.
      variables: Parameters and running statistics, from `replicate`.
      source: The split.
      change: See `eval_batches`.

    Raises:
      NotFiniteError: if one is not finite.
    """
    found: list[Any] = []
    numbers = []
    for images, mine in eval_batches(
        source,
        batch_size=run.config.train.eval_batch_size,
        side=run.config.data.resize,
        topology=run.topology,
        change=change,
    ):
        found.append(eval_step(variables, images))
        numbers.append(mine)
        if len(found) > 1:  # fetched while the devices work on the next batch
            found[-2] = np.asarray(found[-2])
    rows = np.concatenate([np.asarray(x).reshape(-1, x.shape[-1]) for x in found])
    order = np.concatenate(numbers)
    logits = np.zeros((len(source), rows.shape[1]), np.float32)
    logits[order[order >= 0]] = rows[order >= 0]  # -1 filled the last batch up
    if jax.process_count() > 1:  # each host has filled in its own rows
        logits = np.asarray(multihost_utils.process_allgather(logits)).sum(axis=0)
    return finite(logits)
