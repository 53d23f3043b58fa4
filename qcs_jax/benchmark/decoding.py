"""Measures the input pipeline, and says whether it or the step is waited for."""

from __future__ import annotations

import contextlib
import dataclasses
import time

from qcs_jax.benchmark.timing import Limits
from qcs_jax.train.run import Run, open_batches

_BATCHES = 200
_AHEAD = 4  # batches that may be ready before the clock starts; not counted


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How fast the images of a data set are decoded for a step.

    Attributes:
      dataset: Its name.
      images: Number of images that were timed.
      seconds: How long they took.
      images_per_second: `images / seconds`.
      workers: Decoding processes; 0 are threads of the main process.
    """

    dataset: str
    images: int
    seconds: float
    images_per_second: float
    workers: int

    @classmethod
    def measure(cls, run: Run, seconds: float = 10.0) -> Decoding:
        """Reads batches as training does, while nothing else runs.

        Raises:
          UserError: if the data set is not prepared.
        """
        per_batch = run.config.train.batch_size * run.model.branches
        limits, batches = Limits(_BATCHES, seconds), open_batches(run, 0)
        with contextlib.closing(batches):
            for _ in range(_AHEAD):
                next(batches)
            began, count = time.perf_counter(), 0
            while not (count and limits.reached(count, began)):
                next(batches)
                count += 1
            took = time.perf_counter() - began
        return cls(
            dataset=run.splits.train.name,
            images=count * per_batch,
            seconds=took,
            images_per_second=count * per_batch / took,
            workers=run.config.data.workers,
        )


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
