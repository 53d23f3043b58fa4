"""McNemar's exact test against its definition."""

import dataclasses
import math

import numpy as np
import pytest

from qcs_jax.evaluate.mcnemar import McNemar, compare_predictions
from qcs_jax.evaluate.predictions import Predictions
from qcs_jax.system.errors import UserError

NAMES = ("calm", "sad")


def brute_force(b, c):
    """Sum over all outcomes of b + c fair coins that are as unlikely as (b, c)."""
    n = b + c
    seen = math.comb(n, b)
    ways = (math.comb(n, k) for k in range(n + 1))
    return sum(w for w in ways if w <= seen) / 2**n


def answers(b, c, both=7, neither=3):
    a_right = [True] * b + [False] * c + [True] * both + [False] * neither
    b_right = [False] * b + [True] * c + [True] * both + [False] * neither
    return np.array(a_right), np.array(b_right)


def said(correct, ids=None, names=NAMES):
    """Predictions about images of class 0 of `NAMES`, right or wrong."""
    right = names.index(NAMES[0])
    chosen = np.where(correct, right, 1 - right)
    ids = tuple(ids or (f"{i}.jpg" for i in range(len(correct))))
    labels = np.full(len(correct), right)
    return Predictions(ids, labels, np.eye(2, dtype=np.float32)[chosen], names)


@pytest.mark.parametrize("b", [0, 1, 5, 12, 40])
@pytest.mark.parametrize("c", [0, 1, 6, 13, 25])
def test_p_is_the_exact_sum(b, c):
    found = McNemar.of(*answers(b, c))
    assert (found.only_a, found.only_b) == (b, c)
    assert found.p == pytest.approx(brute_force(b, c), rel=1e-9)
    assert found.p == pytest.approx(McNemar.of(*answers(c, b)).p)


def test_counts_and_accuracies():
    found = McNemar.of(*answers(4, 1, both=10, neither=5))
    assert found.examples == 20
    assert (found.accuracy_a, found.accuracy_b) == (14 / 20, 11 / 20)


def test_sentence():
    for same in (answers(0, 0), answers(6, 5)):
        assert "A and B cannot be told apart" in McNemar.of(*same).sentence("A", "B")
    assert McNemar.of(*answers(30, 5)).sentence("A", "B").startswith("A is better")
    assert McNemar.of(*answers(5, 30)).sentence("A", "B").startswith("B is better")


def test_images_are_matched_by_id_and_classes_by_name():
    right_a, right_b = answers(3, 9)
    a, b = said(right_a), said(right_b)
    order = np.random.default_rng(0).permutation(len(right_b))
    turned = said(right_b[order], [b.ids[i] for i in order], NAMES[::-1])
    assert compare_predictions(a, turned) == compare_predictions(a, b)
    assert compare_predictions(a, b) == McNemar.of(right_a, right_b)


def test_what_cannot_be_matched():
    a = said(np.array([True, False, True]))
    with pytest.raises(UserError, match="2 of 4 are in one file only.*'2.jpg'"):
        compare_predictions(a, said(a.correct, ["0.jpg", "1.jpg", "7.jpg"]))
    with pytest.raises(UserError, match="'0.jpg' occurs 2 times in the second"):
        compare_predictions(a, said(a.correct, ["0.jpg", "0.jpg", "1.jpg"]))
    other = dataclasses.replace(a, labels=np.array([0, 1, 0]))
    with pytest.raises(UserError, match="'1.jpg' is calm in the first file and sad"):
        compare_predictions(a, other)
