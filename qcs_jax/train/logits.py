"""The answers of a base branch to every image of a split, as it is or made worse."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from tqdm import tqdm

from qcs_jax.evaluate.counts import finite
from qcs_jax.images.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from qcs_jax.input.pipeline import Change, eval_batches
from qcs_jax.input.sources import Source
from qcs_jax.system.errors import UserError
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
    batches: list[Any] = []
    numbers = []
    for images, mine in eval_batches(
        source,
        batch_size=run.config.train.eval_batch_size,
        side=run.config.data.resize,
        topology=run.topology,
        change=change,
    ):
        batches.append(eval_step(variables, images))
        numbers.append(mine)
        if len(batches) > 1:  # fetched while the devices work on the next batch
            batches[-2] = np.asarray(batches[-2])
    rows = np.concatenate([np.asarray(x).reshape(-1, x.shape[-1]) for x in batches])
    order = np.concatenate(numbers)
    logits = np.zeros((len(source), rows.shape[1]), np.float32)
    logits[order[order >= 0]] = rows[order >= 0]  # -1 filled the last batch up
    if jax.process_count() > 1:  # each host has filled in its own rows
        logits = np.asarray(multihost_utils.process_allgather(logits)).sum(axis=0)
    return finite(logits)


def check_same_everywhere(digests: dict[str, str]) -> None:
    """Raises UserError unless all processes, where there are several, have the same.

    Each answers for a part of the images, or trains on one, by weights of its own.
    """
    mine = np.array([int(digest[:8], 16) for digest in digests.values()], np.uint32)
    everywhere = multihost_utils.process_allgather(mine)
    columns = everywhere.reshape(-1, len(mine)).T
    for what, of_each_process in zip(digests, columns, strict=True):
        if (of_each_process != of_each_process[0]).any():
            raise UserError(
                f"the processes do not see the same {what}: give all of them the same "
                f"command, one --workdir and one --config.data.dir, with the same in it"
            )


def corrupted_accuracy(
    run: Run,
    eval_step: EvalStep,
    variables: Any,
    source: Source,
    landmarks: np.ndarray,
) -> dict[str, list[float]]:
    """Classifies a split once for every corruption and severity.

    For the first four arguments see `predict_split`; `landmarks` `[4, 2]` are where
    those of faces are in the images, as parts of the side.

    Returns:
      Corruption -> accuracy at each of `SEVERITIES`.
    """
    ids = source.ids(range(len(source)))

    def change(name: str, severity: int, pixels: Any, examples: Any) -> np.ndarray:
        keyed = zip(pixels, (ids[i] for i in examples), strict=True)
        return np.stack(
            [corrupt(x, name, severity, key, landmarks) for x, key in keyed]
        )

    accuracy: dict[str, list[float]] = {name: [] for name in CORRUPTIONS}
    passes = [(name, severity) for name in CORRUPTIONS for severity in SEVERITIES]
    for name, severity in tqdm(
        passes, "corruptions", leave=False, disable=bool(jax.process_index())
    ):
        worse = functools.partial(change, name, severity)
        logits = predict_split(run, eval_step, variables, source, worse)
        accuracy[name].append(float(np.mean(logits.argmax(axis=1) == source.labels)))
    return accuracy
