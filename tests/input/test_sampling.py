"""Draws of pairs and quadruplets: never a forbidden image, and the right chances."""

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
    with pytest.warns(UserWarning, match="one image"):
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


@pytest.mark.parametrize("anchor", [i for i in range(0, len(LABELS), 3) if i != ALONE])
def test_positive_is_any_other_of_the_class(index, anchor):
    rng = np.random.default_rng(anchor)
    drawn = [index.another_of_its_class(anchor, rng) for _ in range(DRAWS // 4)]
    assert_distribution(drawn, uniform(members(LABELS[anchor]) - {anchor}))
    assert index.another_of_its_class(ALONE, rng) == ALONE


@pytest.mark.parametrize("label", [0, 1, 3, 4])
@pytest.mark.parametrize("negatives", ["by_image", "by_class"])
def test_negative(index, label, negatives):
    anchor = min(members(label))
    draw = Draw(index, 4, negatives=negatives)
    rng = np.random.default_rng(label)
    drawn = [draw(anchor, rng)[2] for _ in range(DRAWS)]
    by_image = uniform(others(label))
    assert_distribution(drawn, by_class(label) if negatives == "by_class" else by_image)


def test_second_negative_is_another_of_the_negative_s_class(index):
    draw = Draw(index, 4)
    rng = np.random.default_rng(5)
    drawn = np.array([draw(min(members(0)), rng) for _ in range(DRAWS)])
    negative, second = drawn[:, 2], drawn[:, 3]
    np.testing.assert_array_equal(LABELS[negative], LABELS[second])
    assert set(negative[negative == second]) == {ALONE}
    for first in members(1):
        given = second[negative == first]
        assert len(given) > 100
        assert_distribution(given, uniform(members(1) - {first}))


def test_positive_and_negative_are_independent(index):
    draw = Draw(index, 4)
    rng = np.random.default_rng(8)
    anchor = min(members(1))
    drawn = np.array([draw(anchor, rng) for _ in range(DRAWS)])
    positives, negatives = sorted(members(1) - {anchor}), sorted(others(1))
    table = [
        [np.sum((drawn[:, 1] == p) & (drawn[:, 2] == n)) for n in negatives]
        for p in positives
    ]
    assert stats.chi2_contingency(table).pvalue > SIGNIFICANCE


def test_balanced_anchors_draw_the_class_first(index):
    draw = Draw(index, 1, anchors="balanced")
    rng = np.random.default_rng(2)
    drawn = np.array([draw(0, rng)[0] for _ in range(DRAWS)])
    assert_distribution(LABELS[drawn], uniform({0, 1, 3, 4}))
    for label in (0, 1, 4):
        assert_distribution(drawn[LABELS[drawn] == label], uniform(members(label)))


@pytest.mark.parametrize("branches", [1, 2, 4])
@pytest.mark.parametrize("negatives", ["by_image", "by_class"])
def test_shuffled_anchors_stay_first(index, branches, negatives):
    draw = Draw(index, branches, negatives=negatives)
    rng = np.random.default_rng(3)
    for anchor in range(len(LABELS)):
        drawn = draw(anchor, rng)
        assert drawn.shape == (branches,) and drawn.dtype == np.int64
        assert drawn[0] == anchor
        if branches >= 2:
            assert LABELS[drawn[1]] == LABELS[anchor]
        if branches == 4:
            assert LABELS[drawn[2]] == LABELS[drawn[3]] != LABELS[anchor]


def test_draw_is_a_function_of_the_generator(index):
    draw = Draw(index, 4, "balanced", "by_class")

    def run(seed):
        rng = np.random.default_rng(seed)
        return np.array([draw(a, rng) for a in range(len(LABELS))])

    np.testing.assert_array_equal(run(1), run(1))
    assert not np.array_equal(run(1)[:, 1:], run(2)[:, 1:])


@pytest.mark.parametrize("negatives", ["by_image", "by_class"])
def test_two_classes_suffice(negatives):
    index = LabelIndex(np.array([1, 0, 1, 0, 1]), 2)
    rng = np.random.default_rng(4)
    draw = Draw(index, 4, negatives=negatives)
    drawn = np.array([draw(1, rng) for _ in range(600)])
    assert set(drawn[:, 1]) == {3}
    assert_distribution(drawn[:, 2], uniform({0, 2, 4}))


@pytest.mark.parametrize(
    "labels", [[0, 0, 0], [2, 2], [1], np.array([], np.int64)], ids=str
)
def test_fewer_than_two_classes_cannot_be_compared(labels):
    with pytest.raises(UserError, match="at least two classes .* of 3 classes"):
        LabelIndex(np.array(labels), 3)


def test_warns_once_of_all_single_images():
    with pytest.warns(UserWarning) as caught:
        index = LabelIndex(np.array([0, 2, 2, 3]), 4)
        draw, rng = Draw(index, 4), np.random.default_rng(0)
        for _ in range(5):
            draw(0, rng)
    assert len(caught) == 1 and "[0, 3]" in str(caught[0].message)
