"""Intervals from counts against resampled examples, and their coverage."""

import numpy as np
import pytest
from scipy import stats

from qcs_jax.evaluate.counts import intervals, rates


def confusion_of(labels, guesses, k):
    confusion = np.zeros((k, k), np.int64)
    np.add.at(confusion, (labels, guesses), 1)
    return confusion


def test_counts_suffice():
    """The same intervals as from drawing the examples themselves."""
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 300, p=(0.7, 0.2, 0.1))
    guesses = np.where(rng.random(300) < 0.6, labels, rng.integers(0, 3, 300))
    found = intervals(confusion_of(labels, guesses, 3))
    drawn = rng.integers(0, 300, (4000, 300))
    each = np.stack([confusion_of(labels[d], guesses[d], 3) for d in drawn])
    for name, values in rates(each).items():
        expected = np.quantile(values, [0.025, 0.975])
        np.testing.assert_allclose(found[name], expected, atol=0.006)


@pytest.mark.parametrize("hits, total", [(50, 100), (900, 1000)])
def test_accuracy_has_the_width_of_a_binomial(hits, total):
    low, high = intervals(np.diag([hits, 0]) + [[0, 0], [total - hits, 0]])["accuracy"]
    expected = stats.binom(total, hits / total).interval(0.95)
    np.testing.assert_allclose([low * total, high * total], expected, atol=1.5)


def test_an_interval_holds_the_estimate_and_repeats():
    confusion = np.random.default_rng(1).integers(0, 30, (7, 7))
    first, second = (intervals(confusion) for _ in range(2))
    assert first == second != intervals(confusion, seed=1)
    for name, estimate in rates(confusion).items():
        low, high = first[name]
        assert low < estimate < high


def test_certainty_has_no_width():
    for low, high in intervals(np.diag([5, 5, 0])).values():
        assert low == high == 1
