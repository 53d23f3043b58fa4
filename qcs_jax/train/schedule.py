"""How the learning rate rises and falls.

It is computed on the host, step by step: runs of any length share their compiled
programs.
"""

from __future__ import annotations

import math


def learning_rate(
    step: int,
    largest: float,
    *,
    epoch_steps: int,
    epochs: int,
    schedule: str,
    decay: float,
    warmup: float,
) -> float:
    """The learning rate of a step.

    Args:
      step: Number of the step, from 0.
      largest: Learning rate at the end of the warm-up.
      epoch_steps: Number of steps in an epoch.
      epochs: Number of epochs of the run.
      schedule: "exponential": by a factor from epoch to epoch, as the paper does.
        "cosine": half a wave from the end of the warm-up to 0 (Loshchilov and Hutter,
        2017).
      decay: That factor.
      warmup: Epochs, or a part of one, in which it rises in equal steps.

    Raises:
      ValueError: for another schedule.
    """
    rising = warmup * epoch_steps
    if step + 1 < rising:
        return largest * (step + 1) / rising
    if schedule == "exponential":
        return largest * decay ** (step // epoch_steps)
    if schedule == "cosine":
        part = max(step - rising, 0) / (epochs * epoch_steps - rising)
        return largest * (1 + math.cos(math.pi * part)) / 2
    raise ValueError(f"no schedule {schedule!r}: choose exponential or cosine")
