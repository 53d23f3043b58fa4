"""How much of its accuracy a network keeps when images are worse."""

from __future__ import annotations

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

        def worse(pixels: np.ndarray, examples: np.ndarray) -> np.ndarray:
            made = [
                corrupt(image, name, severity, keys[example], landmarks)  # noqa: B023
                for image, example in zip(pixels, examples, strict=True)
            ]
            return np.stack(made)

        logits = predict_split(run, eval_step, variables, source, change=worse)
        found[name].append(float(np.mean(logits.argmax(axis=1) == source.labels)))
    return found
