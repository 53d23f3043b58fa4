"""Gaps between groups: found where they are, and not where classes or chance are."""

import itertools

import numpy as np
import pytest

from qcs_jax.evaluate import gaps

EVEN = np.full((3, 3), 100)  # images by class and group


def largest(images, hits, **options):
    names = "abcdef"[: images.shape[1]]
    return gaps.largest_gap(names, images, hits, **{"permutations": 2000} | options)


def drawn(rng, images, recall):
    return rng.binomial(images, np.broadcast_to(recall, images.shape))


def test_p_is_that_of_all_permutations():
    """Of six images of one class and three of another every permutation is tried."""
    images, hits = np.array([[3, 3], [1, 2]]), np.array([[3, 1], [1, 1]])
    gap = largest(images, hits, permutations=100_000)
    expected = np.array([3 * 4 / 6 + 2 / 3, 3 * 4 / 6 + 2 * 2 / 3]) / [4, 5]
    differences = [
        np.array([h1 + h2, 4 - h1 + 2 - h2]) / [4, 5] - expected
        for first in itertools.combinations([1, 1, 1, 1, 0, 0], 3)
        for second in itertools.combinations([1, 1, 0], 1)
        for h1, h2 in [(sum(first), sum(second))]
    ]
    all_gaps = np.ptp(differences, axis=1)
    found = np.ptp(hits.sum(0) / [4, 5] - expected)
    assert gap["equal_classes"]["gap"] == pytest.approx(found)
    assert gap["p"] == pytest.approx(np.mean(all_gaps >= found - 1e-9), abs=0.005)
    assert gap["by_chance"] == pytest.approx(all_gaps.mean(), abs=0.002)


def test_p_is_uniform_where_there_is_no_gap():
    rng = np.random.default_rng(0)
    images = np.array([[80, 20, 50], [10, 60, 30], [200, 100, 90]])
    recall = np.array([[0.95], [0.6], [0.85]])
    p = [
        largest(images, drawn(rng, images, recall), permutations=400, seed=i)["p"]
        for i in range(400)
    ]
    for level in (0.05, 0.2, 0.5, 0.8):
        assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=0.07)
    assert np.mean(np.array(p) <= 0.05) < 0.09


def test_a_gap_that_is_there_is_found():
    rng = np.random.default_rng(1)
    recall = np.array([[0.95, 0.95, 0.80]] * 3)
    gap = largest(EVEN, drawn(rng, EVEN, recall))
    assert gap["lowest"] == gap["equal_classes"]["lowest"] == "c"
    assert gap["gap"] == pytest.approx(0.15, abs=0.05)
    assert gap["gap"] == pytest.approx(gap["equal_classes"]["gap"])
    assert gap["by_classes"] == pytest.approx(0) and gap["p"] == 1 / 2001


def test_what_classes_alone_make_is_no_unfairness():
    rng = np.random.default_rng(2)
    images = np.array([[400, 100], [100, 400]])
    gap = largest(images, drawn(rng, images, np.array([[0.95], [0.55]])))
    assert gap["gap"] > 0.2 and gap["by_classes"] > 0.2
    assert gap["equal_classes"]["gap"] < 0.05 and gap["p"] > 0.05


def test_easy_classes_do_not_hide_it_either():
    """In each class the second group is worse, but it has more of the easy one."""
    rng = np.random.default_rng(3)
    images = np.array([[200, 480], [300, 20]])
    gap = largest(images, drawn(rng, images, np.array([[0.95, 0.85], [0.5, 0.2]])))
    assert gap["highest"] == "b" and gap["equal_classes"]["highest"] == "a"
    assert gap["p"] < 0.001


def test_many_pairs_are_looked_at_only_once():
    """The largest of 15 gaps is larger than one; p knows."""
    rng = np.random.default_rng(4)
    images = np.full((2, 6), 50)
    p = [
        largest(images, drawn(rng, images, 0.8), permutations=400)["p"]
        for _ in range(200)
    ]
    assert np.mean(np.array(p) <= 0.05) < 0.1


def test_no_images_of_a_class_and_no_mistakes():
    gap = largest(
        np.array([[5, 5], [0, 0], [3, 0]]), np.array([[5, 5], [0, 0], [3, 0]])
    )
    assert gap["gap"] == gap["by_chance"] == 0 and gap["p"] == 1
    assert "Largest gap of accuracy: none" in gaps.sentence(gap | {"corrected_p": 1}, 1)


def test_the_same_always():
    hits = np.array([[90, 80], [70, 77]])
    images = np.full((2, 2), 100)
    first, second = (largest(images, hits) for _ in range(2))
    assert first == second != largest(images, hits, seed=1)


def test_in_words():
    gap = largest(EVEN, np.array([[95, 90, 80]] * 3))
    told = gaps.sentence(gap | {"corrected_p": 0.02}, 3)
    assert told.startswith(
        "Largest gap of accuracy: 15.0 points, a above c (their classes alone would "
        "make 0.0). At equal classes: 15.0 points, a above c. This is more than chance"
    )
    assert told.endswith("p = 0.0005, corrected for 3 columns 0.02.")
    told = gaps.sentence(gap | {"p": 0.2, "corrected_p": 0.2}, 1)
    assert "cannot be told from chance" in told and told.endswith("p = 0.2.")
