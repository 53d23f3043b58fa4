"""Intervals and tests over images and over seeds, against what they are defined by."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from qcs_jax.evaluate import significance


def answers(seeds, images, share, rng):
    return rng.random((seeds, images)) < share


@pytest.mark.parametrize("b", [0, 1, 12, 40])
@pytest.mark.parametrize("c", [0, 6, 25])
def test_one_seed_is_mcnemars_test(b, c):
    """With b and c images that only one of two networks got right, of 10 more."""
    first = np.repeat([True, False, True, False], [b, c, 7, 3])
    second = np.repeat([False, True, True, False], [b, c, 7, 3])
    expected = stats.binomtest(b, b + c).pvalue if b + c else 1
    found = significance.difference(first[None], second[None])
    assert found["p_images"] == pytest.approx(expected, rel=1e-9)
    assert found["mean"] == pytest.approx((b - c) / (b + c + 10))
    right = pd.DataFrame({"first": first, "second": second})
    p, sentence = significance.mcnemar(right, "A", "B")
    assert p == found["p_images"]
    better = "A is better than B" if b > c else "B is better than A"
    assert sentence.startswith(better if p < 0.05 else "A and B cannot be told apart")


@pytest.mark.parametrize("gains", [[1, -2, 3], [2, 2, -1, 0, 3, 1], [3], [1, 1, 1, -3]])
def test_p_counts_all_choices_of_signs(gains):
    flips = itertools.product([-1, 1], repeat=len(gains))
    sums = [abs(np.dot(signs, gains)) for signs in flips]
    expected = np.mean([total >= abs(sum(gains)) for total in sums])
    assert significance.sign_flip_p(np.array(gains)) == pytest.approx(expected)


def test_over_seeds_is_students():
    rng = np.random.default_rng(0)
    a, b = answers(4, 500, 0.7, rng), answers(4, 500, 0.65, rng)
    found = significance.difference(a, b)
    expected = stats.ttest_rel(a.mean(axis=1), b.mean(axis=1))
    assert found["p_seeds"] == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert (found["seeds_low"], found["seeds_high"]) == pytest.approx((low, high))
    alone = significance.difference(a[:1], b[:1])
    assert np.isnan([alone["seeds_low"], alone["seeds_high"], alone["p_seeds"]]).all()


def test_over_few_seeds_nothing_impossible_is_said():
    good, bad = np.zeros((2, 2, 10), bool)
    good[0, :9] = good[1, :7] = True
    found = significance.accuracy(good)
    assert (found["seeds_low"], found["seeds_high"]) == (0, 1)
    found = significance.difference(bad, good)
    assert found["seeds_low"] == -1
    assert found["seeds_high"] == pytest.approx(-0.8 + 1.2706, rel=1e-3)
    same = significance.difference(good[:1].repeat(3, 0), good[:1].repeat(3, 0))
    assert (same.pop("p_images"), same.pop("p_seeds")) == (1, 1)
    assert set(same.values()) == {0}


def test_over_images_is_the_bootstrap():
    rng = np.random.default_rng(1)
    correct = answers(3, 200, 0.8, rng)
    found = significance.accuracy(correct)
    picks = rng.integers(0, 200, (4000, 200))
    low, high = np.quantile(correct.mean(axis=0)[picks].mean(axis=1), [0.025, 0.975])
    assert found["images_low"] == pytest.approx(low, abs=0.004)
    assert found["images_high"] == pytest.approx(high, abs=0.004)
    assert found["mean"] == pytest.approx(correct.mean())
    shuffled = correct[:, rng.permutation(200)]
    np.testing.assert_equal(significance.accuracy(shuffled), found)


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
    assert significance.holm(p) == pytest.approx(corrected, nan_ok=True)
