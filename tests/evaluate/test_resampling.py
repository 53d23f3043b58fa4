"""Intervals, against resampled examples and the binomial distribution."""

import numpy as np
import pytest
from scipy import stats

from qcs_jax.evaluate.counts import rates
from qcs_jax.evaluate.resampling import intervals, proportion, resampled_sums


def confusion_of(labels, guesses, k):
    confusion = np.zeros((k, k), np.int64)
    np.add.at(confusion, (labels, guesses), 1)
    return confusion


def test_counts_suffice():
    """The same intervals as from drawing the examples themselves."""
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 300, p=(0.7, 0.2, 0.1))
    guesses = np.where(rng.random(300) < 0.6, labels, rng.integers(0, 3, 300))
    confusion = confusion_of(labels, guesses, 3)
    found = intervals(confusion)
    drawn = rng.integers(0, 300, (4000, 300))
    each = np.stack([confusion_of(labels[d], guesses[d], 3) for d in drawn])
    for name, values in rates(each).items():
        expected = np.quantile(values, [0.025, 0.975])
        np.testing.assert_allclose(found[name], expected, atol=0.006)
    assert intervals(confusion) == found


@pytest.mark.parametrize("hits, total", [(50, 100), (900, 1000)])
def test_accuracy_has_the_width_of_a_binomial(hits, total):
    low, high = intervals(np.diag([hits, 0]) + [[0, 0], [total - hits, 0]])["accuracy"]
    expected = stats.binom(total, hits / total).interval(0.95)
    np.testing.assert_allclose([low * total, high * total], expected, atol=1.5)


def test_all_right_is_no_certainty_of_a_proportion():
    """Where each draw is the same, the exact end of a binomial interval stands."""
    exact = stats.binomtest(8, 8).proportion_ci(0.95)
    assert proportion(np.ones(9), 8, 8) == pytest.approx([exact.low, 1])
    exact = stats.binomtest(0, 8).proportion_ci(0.95)
    assert proportion(np.zeros(9), 0, 8) == pytest.approx([0, exact.high])
    assert proportion(np.zeros(0), 0, 0) is None


@pytest.mark.parametrize("at_once", [1, 30, 10**6])
def test_draws_are_with_replacement(at_once, monkeypatch):
    monkeypatch.setattr("qcs_jax.evaluate.resampling._AT_ONCE", at_once)
    sums = resampled_sums(np.eye(4))
    assert sums.shape == (2000, 4) and (sums.sum(1) == 4).all()
    np.testing.assert_allclose(sums.mean(0), 1, atol=0.08)
    np.testing.assert_allclose(sums.var(0), 3 / 4, atol=0.1)
