"""Intervals and tests over images and over seeds, against what they are defined by."""

import itertools

import numpy as np
import pytest
from scipy import stats

from qcs_jax.evaluate import uncertainty
from qcs_jax.evaluate.counts import rates


def test_counts_suffice():
    """The same intervals as from drawing the examples themselves."""
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 300, p=(0.7, 0.2, 0.1))
    guesses = np.where(rng.random(300) < 0.6, labels, rng.integers(0, 3, 300))
    cells = 3 * labels + guesses
    confusion = np.bincount(cells, minlength=9).reshape(3, 3)
    found = uncertainty.intervals(confusion)
    drawn = rng.integers(0, 300, (4000, 300))
    each = np.stack([np.bincount(cells[d], minlength=9) for d in drawn])
    for name, values in rates(each.reshape(-1, 3, 3)).items():
        expected = np.quantile(values, [0.025, 0.975])
        np.testing.assert_allclose(found[name], expected, atol=0.006)
    assert uncertainty.intervals(confusion) == found
    low, high = uncertainty.intervals(np.array([[900, 0], [100, 0]]))["accuracy"]
    expected = stats.binom(1000, 0.9).interval(0.95)
    np.testing.assert_allclose([low * 1000, high * 1000], expected, atol=1.5)


def test_all_right_is_no_certainty_of_a_proportion():
    """Where each draw is the same, the exact end of a binomial interval stands."""
    for hits in (0, 8):
        exact = stats.binomtest(hits, 8).proportion_ci(0.95)
        found = uncertainty.proportion(np.full(9, hits / 8), hits, 8)
        assert found == pytest.approx([exact.low, exact.high])
    assert uncertainty.proportion(np.zeros(0), 0, 0) is None


@pytest.mark.parametrize("at_once", [1, 30, 10**6])
def test_draws_are_with_replacement(at_once, monkeypatch):
    monkeypatch.setattr(uncertainty, "_AT_ONCE", at_once)
    sums = uncertainty.resampled_sums(np.eye(4))
    assert sums.shape == (2000, 4) and (sums.sum(1) == 4).all()
    np.testing.assert_allclose(sums.mean(0), 1, atol=0.08)
    np.testing.assert_allclose(sums.var(0), 3 / 4, atol=0.1)


@pytest.mark.parametrize("b", [0, 1, 12, 40])
@pytest.mark.parametrize("c", [0, 6, 25])
def test_one_seed_is_mcnemars_test(b, c):
    """With b and c images that only one of two networks got right, of 10 more."""
    first = np.repeat([True, False, True, False], [b, c, 7, 3])
    second = np.repeat([False, True, True, False], [b, c, 7, 3])
    expected = stats.binomtest(b, b + c).pvalue if b + c else 1
    found = uncertainty.difference(first[None], second[None])
    assert found["p_images"] == pytest.approx(expected, rel=1e-9)
    assert found["mean"] == pytest.approx((b - c) / (b + c + 10))
    assert np.isnan([found[x] for x in ("seeds_low", "seeds_high", "p_seeds")]).all()


@pytest.mark.parametrize("gains", [[1, -2, 3], [2, 2, -1, 0, 3, 1], [3], [1, 1, 1, -3]])
def test_p_counts_all_choices_of_signs(gains):
    flips = itertools.product([-1, 1], repeat=len(gains))
    sums = [abs(np.dot(signs, gains)) for signs in flips]
    expected = np.mean([total >= abs(sum(gains)) for total in sums])
    assert uncertainty.sign_flip_p(np.array(gains)) == pytest.approx(expected)


def test_over_seeds_is_students():
    a, b = np.random.default_rng(0).random((2, 4, 500)) < [[[0.7]], [[0.65]]]
    found = uncertainty.difference(a, b)
    expected = stats.ttest_rel(a.mean(axis=1), b.mean(axis=1))
    assert found["p_seeds"] == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert (found["seeds_low"], found["seeds_high"]) == pytest.approx((low, high))


def test_over_few_seeds_nothing_impossible_is_said():
    good, bad = np.zeros((2, 2, 10), bool)
    good[0, :9] = good[1, :7] = True
    found = uncertainty.accuracy(good)
    assert (found["seeds_low"], found["seeds_high"]) == (0, 1)
    found = uncertainty.difference(bad, good)
    assert found["seeds_low"] == -1
    assert found["seeds_high"] == pytest.approx(-0.8 + 1.2706, rel=1e-3)
    same = uncertainty.difference(good[:1].repeat(3, 0), good[:1].repeat(3, 0))
    assert (same.pop("p_images"), same.pop("p_seeds")) == (1, 1)
    assert set(same.values()) == {0}


def test_over_images_is_the_bootstrap():
    rng = np.random.default_rng(1)
    correct = rng.random((3, 200)) < 0.8
    found = uncertainty.accuracy(correct)
    picks = rng.integers(0, 200, (4000, 200))
    low, high = np.quantile(correct.mean(axis=0)[picks].mean(axis=1), [0.025, 0.975])
    assert found["images_low"] == pytest.approx(low, abs=0.004)
    assert found["images_high"] == pytest.approx(high, abs=0.004)
    assert found["mean"] == pytest.approx(correct.mean())


@pytest.mark.parametrize(
    "p, corrected",
    [
        ([0.01], [0.01]),
        ([0.04, 0.01, 0.03], [0.06, 0.03, 0.06]),
        ([0.9, 0.8], [1.0, 1.0]),
        ([0.5, 0.001, 0.02, 0.3], [0.6, 0.004, 0.06, 0.6]),
        ([0.04, np.nan, 0.01], [0.04, np.nan, 0.02]),  # that was not tested
        ([], []),
    ],
)
def test_corrections_worked_out_by_hand(p, corrected):
    assert uncertainty.holm(p) == pytest.approx(corrected, nan_ok=True)
