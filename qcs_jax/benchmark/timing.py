"""Durations, and what is said of many of them."""

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


@dataclasses.dataclass(frozen=True)
class Speed:
    """Seconds of one step, and images in a second.

    Attributes:
      steps: Number of steps that were timed.
      median: Of their seconds.
      p10: Their 10th percentile.
      p90: Their 90th percentile.
      images: In a step.
      images_per_second: `images / median`.
    """

    steps: int
    median: float
    p10: float
    p90: float
    images: int
    images_per_second: float

    @classmethod
    def of(cls, seconds: Sequence[float], images: int) -> Speed:
        """Summarises the seconds of steps that see `images` each."""
        p10, median, p90 = map(float, np.percentile(seconds, (10, 50, 90)))
        return cls(len(seconds), median, p10, p90, images, images / median)


def time_calls(call: Callable[[], object], limits: Limits) -> list[float]:
    """Seconds of each call; `call` returns when its work is done."""
    seconds: list[float] = []
    began = time.perf_counter()
    while not (seconds and limits.reached(len(seconds), began)):
        before = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - before)
    return seconds
