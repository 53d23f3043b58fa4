"""Intervals and tests over images and over seeds, against what they are defined by."""

import itertools

import numpy as np
import pytest
from scipy import stats

from qcs_jax.evaluate import paired
from qcs_jax.evaluate.mcnemar import McNemar


def answers(seeds, images, share, rng):
    return rng.random((seeds, images)) < share


@pytest.mark.parametrize("seed", range(5))
def test_one_seed_is_mcnemars_test(seed):
    rng = np.random.default_rng(seed)
    a, b = answers(1, 300, 0.7, rng), answers(1, 300, 0.6, rng)
    expected = McNemar.of(a[0], b[0]).p
    assert paired.difference(a, b).p_images == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("gains", [[1, -2, 3], [2, 2, -1, 0, 3, 1], [3], [1, 1, 1, -3]])
def test_p_counts_all_choices_of_signs(gains):
    flips = itertools.product([-1, 1], repeat=len(gains))
    sums = [abs(np.dot(signs, gains)) for signs in flips]
    expected = np.mean([total >= abs(sum(gains)) for total in sums])
    assert paired.sign_flip_p(np.array(gains)) == pytest.approx(expected)


def test_no_difference_at_all():
    same = np.ones((3, 10), bool)
    found = paired.difference(same, same)
    assert (found.mean, found.images, found.seeds) == (0, (0, 0), (0, 0))
    assert (found.p_images, found.p_seeds) == (1, 1)


def test_over_seeds_is_students():
    rng = np.random.default_rng(0)
    a, b = answers(4, 500, 0.7, rng), answers(4, 500, 0.65, rng)
    found = paired.difference(a, b)
    expected = stats.ttest_rel(a.mean(axis=1), b.mean(axis=1))
    assert found.p_seeds == pytest.approx(expected.pvalue)
    assert found.seeds == pytest.approx(tuple(expected.confidence_interval()))
    assert paired.difference(a[:1], b[:1]).seeds is None
    assert paired.difference(a[:1], b[:1]).p_seeds is None


def test_over_two_seeds_nothing_impossible_is_said():
    good, bad = np.zeros((2, 2, 10), bool)
    good[0, :9] = good[1, :7] = True
    assert paired.accuracy(good).seeds == (0, 1)
    assert paired.accuracy(bad).seeds == (0, 0)
    low, high = paired.difference(bad, good).seeds
    assert (low, high) == (-1, pytest.approx(-0.8 + 1.2706, rel=1e-3))


def test_over_images_is_the_bootstrap():
    rng = np.random.default_rng(1)
    correct = answers(3, 200, 0.8, rng)
    found = paired.accuracy(correct)
    picks = rng.integers(0, 200, (4000, 200))
    means = correct.mean(axis=0)[picks].mean(axis=1)
    assert found.images == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.004)
    assert found.mean == pytest.approx(correct.mean())


def test_equally_good_networks_are_rarely_called_different():
    """Images differ in difficulty, which both networks feel alike."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(400):
        easy = rng.beta(2, 1, 120)
        a, b = (rng.random((2, 120)) < easy for _ in range(2))
        found.append(paired.difference(a, b).p_images)
    assert np.mean(np.array(found) < 0.05) < 0.08
    assert np.mean(np.array(found) < 0.5) > 0.35


def test_a_better_network_is_found():
    rng = np.random.default_rng(3)
    a, b = answers(3, 1000, 0.75, rng), answers(3, 1000, 0.65, rng)
    found = paired.difference(a, b)
    assert found.p_images < 1e-6
    assert found.images[0] > 0.05 and found.mean == pytest.approx(0.1, abs=0.03)


def test_the_order_of_images_says_nothing():
    rng = np.random.default_rng(4)
    a, b = answers(3, 100, 0.7, rng), answers(3, 100, 0.6, rng)
    order = rng.permutation(100)
    assert paired.difference(a, b) == paired.difference(a[:, order], b[:, order])
