"""How certain numbers about images are: intervals, and tests of differences.

Two questions that are not the same. Over images: the networks are those that were
trained; what would other test images of this kind say? Over seeds: the test images are
what they are; what would other trainings say? An interval of one kind says nothing
about the other.

`correct` is bool `[s, n]` throughout: whether the network of each seed was right about
each image. Two variants that are compared have the same seeds and images, in the same
order. SciPy is imported where it is used: it takes a second.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qcs_jax.evaluate.counts import rates

LEVEL = 0.95  # of intervals
SIGNIFICANT = 0.05  # p-values below
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
    drawn = _multinomial(confusion.reshape(-1)).reshape(-1, *confusion.shape)
    return {name: percentiles(x) for name, x in rates(drawn).items()}


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


def of_calibration_error(
    bins: np.ndarray, error: float, drawn: np.ndarray
) -> tuple[list[float], float]:
    """Returns `[low, high]` at `LEVEL` of a calibration error, and what chance makes.

    A sum of absolute values, which chance makes larger: draws of it `[R]` are larger
    than the error by about as much as that is larger than the truth, so they are
    reflected (the "basic" bootstrap). `low` is 0 unless the error is larger than those
    of answers that are as sure as they should be, whose mean is the second number.
    `bins` is float `[b, 2]`, images and sum of their confidence, by confidence.
    """
    images, confidence = bins.T
    mean = np.clip(confidence / np.maximum(images, 1), 0, 1)
    size = RESAMPLES_OF_IMAGES, len(bins)
    hits = np.random.default_rng(0).binomial(images.astype(int), mean, size)
    by_chance = abs(confidence - hits).sum(axis=1) / images.sum()
    low, high = percentiles(2 * error - drawn)
    if error <= percentiles(by_chance)[1]:
        low = 0.0
    return [max(low, 0.0), max(high, error)], float(by_chance.mean())


def accuracy(correct: np.ndarray) -> dict[str, float]:
    """Returns the mean accuracy of a variant and its intervals, between 0 and 1.

    mean; images_low and images_high, at `LEVEL` over images (bootstrap); seeds_low and
    seeds_high, over seeds (Student's t), NaN for a single seed.
    """
    certainty = _certainty(correct.astype(int), 0)
    return {name: x for name, x in certainty.items() if name != "p_seeds"}


def difference(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Returns how much more often one variant is right than another, from `correct`.

    What `accuracy` returns, of the difference; and how likely so large a one is if both
    were equally good: p_images (exact sign flips; of one seed this is McNemar's test)
    and p_seeds (paired t test; NaN for a single seed).
    """
    gains = a.astype(int) - b.astype(int)
    return _certainty(gains, -1) | {"p_images": sign_flip_p(gains.sum(axis=0))}


def sign_flip_p(gains: np.ndarray) -> float:
    """Returns the exact two-sided p-value of a sum of gains, if signs were a toss-up.

    Gains are int `[n]`: by how many seeds more one variant is right about each image.
    With equally good variants, an image is as likely to be won by one as by the other.
    The distribution of the sum over all choices of signs is computed completely. Where
    all gains are -1, 0 or 1, this is McNemar's test.
    """
    from scipy.stats import binom

    sizes, counts = np.unique(np.abs(gains[gains != 0]), return_counts=True)
    chance = np.ones(1)  # of each number of steps up from the lowest sum
    for size, count in zip(sizes, counts, strict=True):
        steps = np.zeros(size * count + 1)
        steps[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
        chance = np.convolve(chance, steps)
    sums = 2 * np.arange(len(chance)) - (len(chance) - 1)
    return min(1.0, float(chance[np.abs(sums) >= abs(int(gains.sum()))].sum()))


def holm(p: Sequence[float]) -> list[float]:
    """Corrects the p-values of several tests for their number (Holm, 1979).

    The smallest counts as often as there are tests, the next once less, and none is
    smaller than one before it. What is NaN was not tested, and stays so.
    """
    values = np.asarray(p, float)
    order = np.argsort(values)  # NaN last
    times = np.count_nonzero(~np.isnan(values)) - np.arange(len(values))
    corrected = np.empty_like(values)
    corrected[order] = np.maximum.accumulate(np.minimum(1, times * values[order]))
    return corrected.tolist()


def _multinomial(counts: np.ndarray) -> np.ndarray:
    """Draws as many as were counted, with replacement, and counts them: `[R, ...]`."""
    n = int(counts.sum())
    return np.random.default_rng(0).multinomial(n, counts / n, size=RESAMPLES)


def _certainty(values: np.ndarray, least: int) -> dict[str, float]:
    """Mean and intervals of ints `[s, n]`, and p of a mean of 0 over seeds.

    An interval of two or three seeds is cut off at `least` and 1.
    """
    from scipy.stats import ttest_1samp

    # Few different sums over seeds occur, so it is their counts that are drawn.
    sums, counts = np.unique(values.sum(axis=0), return_counts=True)
    images_low, images_high = percentiles(_multinomial(counts) @ sums / values.size)
    of_seeds = values.mean(axis=1)
    low = high = p = np.nan
    if len(values) > 1 and not np.ptp(of_seeds):  # for SciPy that is no test
        low = high = of_seeds[0]
        p = not of_seeds[0]
    elif len(values) > 1:
        test = ttest_1samp(of_seeds, 0)
        (low, high), p = test.confidence_interval(LEVEL), test.pvalue
    return {
        "mean": float(of_seeds.mean()),
        "images_low": images_low,
        "images_high": images_high,
        "seeds_low": float(np.maximum(low, least)),
        "seeds_high": float(np.minimum(high, 1)),
        "p_seeds": float(p),
    }
