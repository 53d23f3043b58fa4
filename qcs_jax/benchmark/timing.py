"""How long calls take, and when enough of them have been timed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Limits:
    """When enough has been measured.

    Attributes:
      steps: After this many steps,
      seconds: or after the step in which so much time is over.
    """

    steps: int = 10
    seconds: float = 60.0

    def reached(self, steps: int, began: float) -> bool:
        """Whether to stop after `steps` since `began` (`time.perf_counter`)."""
        return steps >= self.steps or time.perf_counter() - began > self.seconds


def speed(seconds: Sequence[float], images: int) -> dict[str, float]:
    """Summarises the seconds of steps, or of calls, that see `images` each."""
    p10, median, p90 = map(float, np.percentile(seconds, (10, 50, 90)))
    return {
        "steps": len(seconds),
        "median": median,
        "p10": p10,
        "p90": p90,
        "images": images,
        "images_per_second": images / median,
    }


def time_calls(call: Callable[[], object], limits: Limits) -> list[float]:
    """Returns the seconds of each call; `call` returns when its work is done."""
    seconds: list[float] = []
    began = time.perf_counter()
    while not (seconds and limits.reached(len(seconds), began)):
        before = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - before)
    return seconds
