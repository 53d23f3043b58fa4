"""How certain an accuracy is, and a difference of two, over images and over seeds.

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
from typing import TYPE_CHECKING

import numpy as np

from qcs_jax.evaluate.resampling import LEVEL, RESAMPLES, percentiles

if TYPE_CHECKING:
    import pandas as pd

SIGNIFICANT = 0.05  # p-values below


def accuracy(correct: np.ndarray) -> dict[str, float]:
    """Returns the mean accuracy of a variant and its intervals, between 0 and 1.

    mean; images_low and images_high, at `LEVEL` over images (bootstrap); seeds_low and
    seeds_high, over seeds (Student's t), NaN for a single seed.
    """
    return _over_images(correct.astype(int)) | _over_seeds(correct.mean(axis=1), 0)[0]


def difference(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Returns how much more often one variant is right than another, from `correct`.

    What `accuracy` returns, of the difference; and how likely so large a one is if both
    were equally good: p_images (exact sign flips; of one seed this is McNemar's test)
    and p_seeds (paired t test; NaN for a single seed).
    """
    gains = a.astype(int) - b.astype(int)
    over_seeds, p_seeds = _over_seeds(gains.mean(axis=1), -1)
    p = {"p_images": sign_flip_p(gains.sum(axis=0)), "p_seeds": p_seeds}
    return _over_images(gains) | over_seeds | p


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
    smaller than one before it. Calling those below `SIGNIFICANT` differences keeps the
    probability of any false one below that, however the tests depend on each other.
    What is NaN was not tested, and stays so.
    """
    values = np.asarray(p, float)
    order = np.argsort(values)  # NaN last
    times = np.count_nonzero(~np.isnan(values)) - np.arange(len(values))
    corrected = np.empty_like(values)
    corrected[order] = np.maximum.accumulate(np.minimum(1, times * values[order]))
    return corrected.tolist()


def mcnemar(right: pd.DataFrame, a: str, b: str) -> tuple[float, str]:
    """Tests whether networks called a and b differ, by `predictions.matched`.

    Returns the p-value of McNemar's exact, two-sided test, and what follows, as a
    sentence.
    """
    gains = right["first"].astype(int) - right["second"].astype(int)
    p = sign_flip_p(gains.to_numpy())
    if p >= SIGNIFICANT:
        return p, (
            f"{a} and {b} cannot be told apart: a difference as large as this comes by "
            f"chance with p = {p:.3g}."
        )
    better, worse = (a, b) if gains.sum() > 0 else (b, a)
    return p, (
        f"{better} is better than {worse}: if they were equally good, a difference as "
        f"large as this would come by chance with p = {p:.3g}."
    )


def _over_images(values: np.ndarray) -> dict[str, float]:
    """Mean and interval of ints `[s, n]`, by the bootstrap.

    Few different sums over seeds occur, so it is their counts that are drawn.
    """
    sums, counts = np.unique(values.sum(axis=0), return_counts=True)
    seeds, n = values.shape
    drawn = np.random.default_rng(0).multinomial(n, counts / n, size=RESAMPLES)
    low, high = percentiles(drawn @ sums / (n * seeds))
    mean = float(values.mean(axis=1).mean())
    return {"mean": mean, "images_low": low, "images_high": high}


def _over_seeds(values: np.ndarray, least: int) -> tuple[dict[str, float], float]:
    """Interval of the mean, as far as it lies between `least` and 1, and p of 0.

    Of two or three seeds it may be wider than what an accuracy can be.
    """
    from scipy.stats import ttest_1samp

    low = high = p = np.nan
    if len(values) > 1 and not np.ptp(values):  # for SciPy that is no test
        low = high = values[0]
        p = not values[0]
    elif len(values) > 1:
        test = ttest_1samp(values, 0)
        low, high = test.confidence_interval(LEVEL)
        p = test.pvalue
    ends = float(np.maximum(low, least)), float(np.minimum(high, 1))
    return {"seeds_low": ends[0], "seeds_high": ends[1]}, float(p)
