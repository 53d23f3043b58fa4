"""How much of its accuracy a network keeps when images are worse."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from qcs_jax.images.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from qcs_jax.input.sources import Source
from qcs_jax.train.logits import EvalStep, predict_split
from qcs_jax.train.run import Run


def measure(
    run: Run,
    eval_step: EvalStep,
    variables: Any,
    source: Source,
    landmarks: np.ndarray,
) -> dict[str, list[float]]:
    """Classifies a split once for every corruption and severity.

    Args:
      run: See `predict_split`, as for the next two.
      eval_step: From `make_eval_step`.
      variables: Parameters and running statistics, from `replicate`.
      source: The split.
      landmarks: `[4, 2]`, where landmarks are in its images, as parts of the side.

    Returns:
      Corruption -> accuracy at each of `SEVERITIES`.
    """
    keys = source.ids(range(len(source)))
    found: dict[str, list[float]] = {name: [] for name in CORRUPTIONS}
    passes = [(name, severity) for name in CORRUPTIONS for severity in SEVERITIES]
    for name, severity in tqdm(
        passes, "corruptions", leave=False, disable=bool(jax.process_index())
    ):
        change = functools.partial(_corrupt_all, name, severity, keys, landmarks)
        logits = predict_split(run, eval_step, variables, source, change)
        found[name].append(float(np.mean(logits.argmax(axis=1) == source.labels)))
    return found


def _corrupt_all(
    name: str,
    severity: int,
    keys: Sequence[str],
    landmarks: np.ndarray,
    pixels: np.ndarray,
    examples: np.ndarray,
) -> np.ndarray:
    """Corrupts images uint8 `[b, s, s, 3]`, which are the examples `[b]`."""
    pairs = zip(pixels, examples, strict=True)
    worse = [corrupt(x, name, severity, keys[i], landmarks) for x, i in pairs]
    return np.stack(worse)
