"""How sure numbers about images are, from images drawn with replacement."""

from __future__ import annotations

import numpy as np

from qcs_jax.evaluate.counts import LEVEL

# Each is as long as the images are many, which a multinomial draw of counts is not: a
# fifth of `counts.RESAMPLES` moves the ends of an interval by 2 % of its width.
RESAMPLES = 2000
_AT_ONCE = 2**20  # draws in memory


def resampled_sums(
    values: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES
) -> np.ndarray:
    """Draws N of N images with replacement, and sums over those drawn.

    All columns are summed over the same images, so that ratios of sums are right, too.

    Args:
      values: float `[N, c]`, c numbers about every image; N at least 1.
      seed: Seed of the draws.
      resamples: Number of draws, R.

    Returns:
      float64 `[R, c]`.
    """
    count = len(values)
    rng = np.random.default_rng(seed)
    blocks, rows = [], max(1, _AT_ONCE // count)
    for begin in range(0, resamples, rows):
        size = min(rows, resamples - begin)
        drawn = rng.integers(count, size=(size, count))
        drawn += count * np.arange(size)[:, None]
        times = np.bincount(drawn.reshape(-1), minlength=size * count)
        blocks.append(times.reshape(size, count).astype(np.float64) @ values)
    return np.concatenate(blocks)


def percentiles(drawn: np.ndarray) -> list[float]:
    """Returns `[low, high]` at `LEVEL` of draws `[R]`."""
    tail = (1 - LEVEL) / 2
    return np.quantile(drawn, [tail, 1 - tail]).tolist()


def proportion(drawn: np.ndarray, hits: int, total: int) -> list[float]:
    """Returns `[low, high]` at `LEVEL` of a part `hits / total`.

    Images that are all hits, or all none, are so in every draw: the bootstrap would be
    certain of 3 of 3. There the exact end of Clopper and Pearson stands.

    Args:
      drawn: `[R]`, the part in each draw, from 0 to 1.
      hits: What was counted.
      total: Of so many, at least 1.
    """
    if 0 < hits < total:
        return percentiles(drawn)
    far = ((1 - LEVEL) / 2) ** (1 / total)
    return [far, 1.0] if hits else [0.0, 1 - far]


def calibrated_errors(
    bins: np.ndarray, *, seed: int = 0, resamples: int = RESAMPLES
) -> np.ndarray:
    """Draws calibration errors that answers have which are as sure as they should be.

    In each bin of confidence as many are right as chance wants. The fewer images, the
    larger the error that this alone makes.

    Args:
      bins: float `[b, 2]`, images and sum of their confidence, by confidence.
      seed: Seed of the draws.
      resamples: Number of draws, R.

    Returns:
      float64 `[R]`.
    """
    images, confidence = bins.T
    mean = np.clip(confidence / np.maximum(images, 1), 0, 1)
    rng = np.random.default_rng(seed)
    hits = rng.binomial(images.astype(int), mean, size=(resamples, len(bins)))
    return abs(confidence - hits).sum(axis=1) / images.sum()


def of_calibration_error(
    drawn: np.ndarray, found: float, by_chance: np.ndarray
) -> list[float]:
    """Returns `[low, high]` at `LEVEL` of a calibration error.

    It is a sum of absolute values, which chance makes larger: draws are larger than
    what they are drawn from, by about as much as that is larger than the truth. So they
    are reflected, `2 found - drawn` (the "basic" interval of the bootstrap). Near 0
    that is not enough: `low` is 0 unless the error is larger than chance makes it.

    Args:
      drawn: `[R]`, from images drawn with replacement.
      found: The error itself.
      by_chance: From `calibrated_errors`.
    """
    low, high = percentiles(2 * found - drawn)
    if found <= percentiles(by_chance)[1]:
        low = 0.0
    return [max(low, 0.0), max(high, found)]
