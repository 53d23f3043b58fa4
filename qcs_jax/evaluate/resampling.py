"""Intervals of numbers about images, from images drawn with replacement."""

from __future__ import annotations

import numpy as np

from qcs_jax.evaluate.counts import rates

LEVEL = 0.95  # of intervals
RESAMPLES = 10_000  # where counts suffice
# Where each draw is as long as the images are many: a fifth of that moves the ends of
# an interval by 2 % of its width.
RESAMPLES_OF_IMAGES = 2000
_AT_ONCE = 2**20  # draws in memory


def intervals(confusion: np.ndarray) -> dict[str, list[float]]:
    """Returns `[low, high]` at `LEVEL` of `rates`, by the bootstrap.

    To draw N of N examples with replacement and count them anew is to draw the cells
    of their confusion matrix, int `[k, k]`, from a multinomial distribution, so the
    counts suffice.
    """
    total = int(confusion.sum())
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(total, confusion.reshape(-1) / total, size=RESAMPLES)
    values = rates(drawn.reshape(RESAMPLES, *confusion.shape))
    return {name: percentiles(x) for name, x in values.items()}


def resampled_sums(values: np.ndarray) -> np.ndarray:
    """Draws N of N images with replacement, and sums over those drawn.

    Of values float `[N, c]` come `[R, c]`, of `RESAMPLES_OF_IMAGES` draws. All columns
    are summed over the same images, so that ratios of sums are right, too.
    """
    count = len(values)
    rng = np.random.default_rng(0)
    blocks, rows = [], max(1, _AT_ONCE // count)
    for begin in range(0, RESAMPLES_OF_IMAGES, rows):
        size = min(rows, RESAMPLES_OF_IMAGES - begin)
        drawn = rng.integers(count, size=(size, count))
        drawn += count * np.arange(size)[:, None]
        times = np.bincount(drawn.reshape(-1), minlength=size * count)
        blocks.append(times.reshape(size, count).astype(np.float64) @ values)
    return np.concatenate(blocks)


def percentiles(drawn: np.ndarray) -> list[float]:
    """Returns `[low, high]` at `LEVEL` of draws `[R]`."""
    tail = (1 - LEVEL) / 2
    return np.quantile(drawn, [tail, 1 - tail]).tolist()


def proportion(drawn: np.ndarray, hits: int, total: int) -> list[float] | None:
    """Returns `[low, high]` at `LEVEL` of `hits / total` from that of each draw `[R]`.

    Images that are all hits, or all none, are so in every draw: the bootstrap would be
    certain of 3 of 3. There the exact end of Clopper and Pearson stands. None of 0.
    """
    if not total:
        return None
    if 0 < hits < total:
        return percentiles(drawn)
    far = ((1 - LEVEL) / 2) ** (1 / total)
    return [far, 1.0] if hits else [0.0, 1 - far]


def calibrated_errors(bins: np.ndarray) -> np.ndarray:
    """Draws calibration errors `[R]` of answers that are as sure as they should be.

    The fewer images, the larger the error that chance alone makes. `bins` is float
    `[b, 2]`, images and sum of their confidence, by confidence.
    """
    images, confidence = bins.T
    mean = np.clip(confidence / np.maximum(images, 1), 0, 1)
    rng = np.random.default_rng(0)
    size = RESAMPLES_OF_IMAGES, len(bins)
    hits = rng.binomial(images.astype(int), mean, size=size)
    return abs(confidence - hits).sum(axis=1) / images.sum()


def of_calibration_error(
    drawn: np.ndarray, error: float, by_chance: np.ndarray
) -> list[float]:
    """Returns `[low, high]` at `LEVEL` of a calibration error, from draws of it `[R]`.

    It is a sum of absolute values, which chance makes larger: draws are larger than
    what they are drawn from, by about as much as that is larger than the truth. So they
    are reflected, `2 error - drawn` (the "basic" interval of the bootstrap). Near 0
    that is not enough: `low` is 0 unless the error is larger than `calibrated_errors`
    are.
    """
    low, high = percentiles(2 * error - drawn)
    if error <= percentiles(by_chance)[1]:
        low = 0.0
    return [max(low, 0.0), max(high, error)]
