"""Measures the input pipeline, and says whether it or the step is waited for."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from qcs_jax.benchmark.timing import Limits
from qcs_jax.train.run import Run, open_batches

_LIMITS = Limits(steps=200, seconds=10.0)
_AHEAD = 4  # batches that may be ready before the clock starts; not counted


def measure(run: Run) -> dict[str, Any]:
    """Reads batches as training does, while nothing else runs.

    Returns:
      "dataset", the number of "images" that were timed and their "seconds",
      "images_per_second", and "workers": decoding processes, 0 for threads.

    Raises:
      UserError: if the data set is not prepared.
    """
    with contextlib.closing(open_batches(run, 0)) as batches:
        for _ in range(_AHEAD):
            next(batches)
        began, count = time.perf_counter(), 0
        while not (count and _LIMITS.reached(count, began)):
            next(batches)
            count += 1
        seconds = time.perf_counter() - began
    images = count * run.config.train.batch_size * run.model.branches
    return {
        "dataset": run.splits.train.name,
        "images": images,
        "seconds": seconds,
        "images_per_second": images / seconds,
        "workers": run.config.data.workers,
    }


def bottleneck(decoded: float, consumed: float, workers: int) -> str:
    """Says in words what training waits for.

    Args:
      decoded: Images in a second that the input pipeline decodes.
      consumed: Images in a second that the step consumes.
      workers: Decoding processes, `data.workers`.
    """
    decodes = f"the input pipeline decodes {decoded:,.0f} images/s"
    if decoded >= consumed:
        return (
            f"The step is the bottleneck: {decodes}, {decoded / consumed:.1f} times "
            f"the {consumed:,.0f} that the step consumes."
        )
    return (
        f"The input is the bottleneck: {decodes}, {decoded / consumed:.0%} of the "
        f"{consumed:,.0f} that the step could consume. Raise data.workers (it is "
        f"{workers}), or prepare smaller images."
    )
