"""How certain an accuracy is, and a difference of two, over images and over seeds.

Two questions that are not the same. Over images: the networks are those that were
trained; what would other test images of this kind say? Over seeds: the test images are
what they are; what would other trainings say? An interval of one kind says nothing
about the other.

`correct` is bool `[s, n]` throughout: whether the network of each seed was right about
each image. Two variants that are compared have the same seeds and images, in the same
order.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from qcs_jax.evaluate.counts import LEVEL, RESAMPLES

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Certainty:
    """A mean over seeds, and between what it may lie.

    Attributes:
      mean: Of an accuracy, between 0 and 1, or of a difference of two.
      images: Interval at `LEVEL` over images, by the bootstrap.
      seeds: Interval at `LEVEL` over seeds, Student's; None for a single seed.
    """

    mean: float
    images: Interval
    seeds: Interval | None


@dataclasses.dataclass(frozen=True)
class Difference(Certainty):
    """One variant minus another.

    Attributes:
      p_images: How likely so large a difference is over images if both were equally
        good; of one seed this is McNemar's exact test.
      p_seeds: Likewise over seeds, by the paired t test; None for a single seed.
    """

    p_images: float
    p_seeds: float | None


def accuracy(correct: np.ndarray) -> Certainty:
    """Returns the mean accuracy of a variant.

    Args:
      correct: See above.
    """
    return Certainty(*_certainty(correct.astype(int), least=0))


def difference(a: np.ndarray, b: np.ndarray) -> Difference:
    """Returns how much more often variant `a` is right than `b`.

    Args:
      a: `correct` of one variant.
      b: `correct` of the other, of equal shape.
    """
    gains = a.astype(int) - b.astype(int)
    return Difference(
        *_certainty(gains, least=-1),
        sign_flip_p(gains.sum(axis=0)),
        _t_test(gains.mean(axis=1)),
    )


def sign_flip_p(gains: np.ndarray) -> float:
    """Returns the exact two-sided p-value of a sum of gains, if signs were a toss-up.

    With equally good variants, an image is as likely to be won by one as by the other.
    The distribution of the sum over all choices of signs is computed whole. Where all
    gains are -1, 0 or 1, this is McNemar's test.

    Args:
      gains: int `[n]`, by image: how many seeds of one variant were right, minus those
        of the other.
    """
    from scipy.stats import binom  # takes a second, which tables do without

    sizes, counts = np.unique(np.abs(gains[gains != 0]), return_counts=True)
    chance = np.ones(1)  # of each number of steps up from the lowest sum
    for size, count in zip(sizes, counts, strict=True):
        steps = np.zeros(size * count + 1)
        steps[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
        chance = np.convolve(chance, steps)
    sums = 2 * np.arange(len(chance)) - (len(chance) - 1)
    return min(1.0, float(chance[np.abs(sums) >= abs(int(gains.sum()))].sum()))


def _certainty(
    values: np.ndarray, least: int
) -> tuple[float, Interval, Interval | None]:
    """Returns the fields of `Certainty` for ints `[s, n]` from `least` to 1."""
    over_seeds = values.mean(axis=1)
    return (
        float(over_seeds.mean()),
        _bootstrap(values.sum(axis=0), len(values)),
        _student(over_seeds, least),
    )


def _bootstrap(sums: np.ndarray, divisor: int) -> Interval:
    """Draws the percentile interval of the mean of ints `[n]`, divided.

    Few different values occur, so it is their counts that are drawn.
    """
    values, counts = np.unique(sums, return_counts=True)
    n = len(sums)
    drawn = np.random.default_rng(0).multinomial(n, counts / n, size=RESAMPLES)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn @ values / (n * divisor), [tail, 1 - tail])
    return float(low), float(high)


def _student(values: np.ndarray, least: int) -> Interval | None:
    """Returns the interval of the mean, as far as it lies between `least` and 1.

    Of two or three seeds it may be wider than what an accuracy can be.
    """
    from scipy.stats import t

    n = len(values)
    if n < 2:
        return None
    reach = t.ppf((1 + LEVEL) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    low, high = values.mean() - reach, values.mean() + reach
    return float(max(low, least)), float(min(high, 1))


def _t_test(values: np.ndarray) -> float | None:
    """Returns the two-sided p-value of a mean of 0."""
    from scipy.stats import t

    n = len(values)
    if n < 2:
        return None
    mean, error = abs(values.mean()), values.std(ddof=1) / np.sqrt(n)
    if not error:  # the same with every seed
        return float(not mean)
    return float(2 * t.sf(mean / error, n - 1))
