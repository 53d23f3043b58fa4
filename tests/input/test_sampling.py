"""Draws of pairs and quadruplets: never a forbidden image, and the right chances."""

import itertools

import numpy as np
import pytest
from scipy import stats

from qcs_jax.input.sampling import Draw, LabelIndex
from qcs_jax.system.errors import UserError

# Class 2 is empty, class 3 has one image; the examples of a class are scattered.
SIZES = (7, 4, 0, 1, 9)
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(5), SIZES))
ALONE = int(np.flatnonzero(LABELS == 3)[0])
DRAWS = 6000

# Fixed seeds: these tests cannot flake, and a wrong distribution gives a p-value many
# orders of magnitude below this.
SIGNIFICANCE = 1e-3


@pytest.fixture(scope="module")
def index():
    with pytest.warns(UserWarning, match=r"classes \[3\] have one image each"):
        return LabelIndex(LABELS, len(SIZES))


def members(label):
    return set(np.flatnonzero(LABELS == label).tolist())


def others(label):
    return set(range(len(LABELS))) - members(label)


def assert_distribution(drawn, chances):
    """Checks draws against {value: probability}; other values must not occur."""
    values, counts = np.unique(drawn, return_counts=True)
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    assert found.keys() <= chances.keys()
    observed = [found.get(value, 0) for value in chances]
    expected = [chance * len(drawn) for chance in chances.values()]
    assert stats.chisquare(observed, expected).pvalue > SIGNIFICANCE


def uniform(values):
    return {value: 1 / len(values) for value in values}


def by_class(label):
    """First one of the other classes, then one of its images."""
    present = [k for k in np.unique(LABELS).tolist() if k != label]
    return {i: 1 / len(present) / SIZES[k] for k in present for i in members(k)}


def draws(index, anchor, branches=4, seed=0, **options):
    """Many draws for one anchor, `[DRAWS, branches]`."""
    draw, rng = Draw(index, branches, **options), np.random.default_rng(seed)
    return np.array([draw(anchor, rng) for _ in range(DRAWS)])


@pytest.mark.parametrize("label, negatives", [(0, "by_image"), (4, "by_class")])
def test_positive_and_negative(index, label, negatives):
    """Any other of the class, and any image, or class, of the others."""
    anchor = sorted(members(label))[2]
    drawn = draws(index, anchor, seed=label, negatives=negatives)
    assert_distribution(drawn[:, 1], uniform(members(label) - {anchor}))
    expected = uniform(others(label)) if negatives == "by_image" else by_class(label)
    assert_distribution(drawn[:, 2], expected)


def test_positive_and_negatives_are_independent(index):
    anchor, of_none = min(members(1)), members(0)
    _, positive, negative, second = draws(index, anchor, seed=8).T
    table = stats.contingency.crosstab(positive, negative).count
    assert table.shape == (3, len(others(1)))
    assert stats.chi2_contingency(table).pvalue > SIGNIFICANCE
    # The second negative is another one of the class of the first.
    np.testing.assert_array_equal(LABELS[negative], LABELS[second])
    assert set(negative[negative == second]) == {ALONE}
    for first in of_none:
        assert_distribution(second[negative == first], uniform(of_none - {first}))


def test_balanced_anchors_draw_the_class_first(index):
    drawn = draws(index, 0, 1, seed=2, anchors="balanced")[:, 0]
    assert_distribution(LABELS[drawn], uniform({0, 1, 3, 4}))
    for label in (0, 1, 4):
        assert_distribution(drawn[LABELS[drawn] == label], uniform(members(label)))


@pytest.mark.parametrize("negatives", ["by_image", "by_class"])
def test_shuffled_anchors_stay_first(index, negatives):
    rng = np.random.default_rng(3)
    for branches, anchor in itertools.product((1, 2, 4), range(len(LABELS))):
        drawn = Draw(index, branches, negatives=negatives)(anchor, rng)
        assert drawn.shape == (branches,) and drawn.dtype == np.int64
        assert drawn[0] == anchor
        if branches >= 2:
            assert LABELS[drawn[1]] == LABELS[anchor]
            assert (drawn[1] == anchor) == (anchor == ALONE)
        if branches == 4:
            assert LABELS[drawn[2]] == LABELS[drawn[3]] != LABELS[anchor]


def test_two_classes_suffice():
    index = LabelIndex(np.array([1, 0, 1, 0, 1]), 2)
    for negatives in ("by_image", "by_class"):
        drawn = draws(index, 1, negatives=negatives)
        assert set(drawn[:, 1]) == {3}
        assert_distribution(drawn[:, 2], uniform({0, 2, 4}))
    for labels in ([2, 2], []):
        with pytest.raises(UserError, match="at least two classes .* of 3 classes"):
            LabelIndex(np.array(labels, np.int64), 3)
