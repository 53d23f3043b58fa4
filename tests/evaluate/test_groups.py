"""What is measured of groups, how certain it is, and gaps that are more than chance."""

import itertools
import json

import numpy as np
import pytest

from qcs_jax.evaluate import groups, uncertainty
from qcs_jax.evaluate.counts import Counts, probabilities
from qcs_jax.evaluate.group_file import Grouping

CLASSES = ("calm", "glad", "sad")
NUMBERS = ("accuracy", "mean_class_accuracy", "ece", "nll", "overconfidence")


def answers(rng, count, sharp=2.0):
    """Calibrated ones: labels are drawn from the probabilities."""
    logits = sharp * rng.normal(size=(count, 3))
    p = probabilities(logits)
    labels = (rng.random((count, 1)) > p.cumsum(1)).sum(1).clip(max=2)
    return logits, labels


def grouping(column, members):
    names = tuple("abcdefgh"[: max(members) + 1])
    return Grouping(column, names, np.asarray(members))


@pytest.fixture(scope="module")
def measured():
    """Two columns of 600 images; "c" is small, and 50 images have no group."""
    rng = np.random.default_rng(0)
    logits, labels = answers(rng, 600)
    first = np.repeat([0, 1, 2, -1], [300, 220, 30, 50])
    columns = [grouping("skin", first), grouping("glasses", rng.integers(0, 2, 600))]
    found = groups.summary(columns, logits, labels, CLASSES, ["a note"])
    return logits, labels, columns, found


def test_numbers_are_those_of_the_images_and_their_intervals_hold_them(measured):
    logits, labels, columns, found = measured
    assert found["notes"] == ["a note"] and found["small"] == groups.SMALL
    for grouped, column in zip(columns, found["columns"], strict=True):
        assert column["column"] == grouped.column
        assert column["unknown"] == (grouped.members < 0).sum()
        assert [x["group"] for x in column["groups"]] == list(grouped.names)
        for i, group in enumerate(column["groups"]):
            here = grouped.members == i
            counts = Counts.of(logits[here], labels[here])
            expected = {x: counts.metrics()[x] for x in NUMBERS[:-1]}
            over = probabilities(logits[here]).max(1).mean() - expected["accuracy"]
            expected["overconfidence"] = pytest.approx(over)
            assert {x: group[x] for x in NUMBERS} == expected
            expected = uncertainty.intervals(counts.confusion)
            for name in ("accuracy", "mean_class_accuracy"):
                ends = pytest.approx(expected[name], abs=1.01 / here.sum())
                assert group["intervals"][name] == ends
            numbers = [(group[x], group["intervals"][x]) for x in NUMBERS if x != "ece"]
            for row, x in zip(counts.per_class(), group["per_class"], strict=True):
                assert (x["recall"], x["examples"]) == (row["recall"], row["examples"])
                numbers.append((x["recall"], x["interval"]))
            assert all(low < number < high for number, (low, high) in numbers)


def test_small_groups_are_marked_and_not_compared(measured):
    *_, found = measured
    skin, glasses = found["columns"]
    assert [x["small"] for x in skin["groups"]] == [False, False, True]
    assert {skin["gap"]["highest"], skin["gap"]["lowest"]} == {"a", "b"}
    lines = groups.table(found).splitlines()
    assert any(line.startswith("  c *") for line in lines)
    assert "  * Fewer than 50 images, too few to be compared." in lines
    assert "  50 images belong to no known group." in lines
    for column in (skin, glasses):
        assert column["gap"]["sentence"] in " ".join(" ".join(lines).split())
        assert "corrected for 2 columns" in column["gap"]["sentence"]


def test_one_group_has_no_gap_and_all_right_is_no_certainty():
    logits, labels = np.tile([5.0, 0.0, 0.0], (120, 1)), np.zeros(120, int)
    for members in ([0] * 60 + [-1] * 60, [0] * 90 + [1] * 30, [-1] * 120):
        found = groups.summary([grouping("x", members)], logits, labels, CLASSES)
        assert found["columns"][0]["gap"] is None
        assert "no two groups of 50 images or more" in groups.table(found)
        if members[0] == 0:
            group = found["columns"][0]["groups"][0]
            low = pytest.approx(0.025 ** (1 / group["examples"]))
            assert group["intervals"]["accuracy"] == [low, 1]
            calm, glad, _ = group["per_class"]
            assert calm["interval"] == [low, 1]
            nothing = {"examples": 0, "recall": None, "interval": None}
            assert glad == {"class": "glad", **nothing}
    assert found["columns"][0]["groups"] == [] and json.dumps(found)


def test_a_planted_gap_is_significant():
    rng = np.random.default_rng(3)
    logits, labels = answers(rng, 900, sharp=4)
    members = rng.integers(0, 3, 900)
    unfair = (members == 1) & (rng.random(900) < 0.2)
    logits[unfair] = logits[unfair][:, [1, 2, 0]]
    columns = [grouping("skin", members), grouping("other", rng.integers(0, 2, 900))]
    skin, other = groups.summary(columns, logits, labels, CLASSES)["columns"]
    assert skin["gap"]["significant"] and skin["gap"]["lowest"] == "b"
    assert skin["gap"]["corrected_p"] == 2 * skin["gap"]["p"]
    assert not other["gap"]["significant"]


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_intervals_cover_the_truth(scale, monkeypatch):
    """In 9 of 10 groups at least, also where the network is surer than it should be."""
    monkeypatch.setattr(uncertainty, "RESAMPLES_OF_IMAGES", 400)
    monkeypatch.setattr(groups, "SMALL", 1000)  # none is compared
    logits, labels = answers(np.random.default_rng(4), 100_000, sharp=1.5)
    logits *= scale
    truth = Counts.of(logits, labels).metrics()
    excess = probabilities(logits).max(1).mean() - truth["accuracy"]
    truth["overconfidence"] = excess
    if scale == 1:
        truth["ece"] = 0
    eighty = Grouping("x", tuple(map(str, range(80))), np.arange(80).repeat(150))
    some = logits[: 80 * 150], labels[: 80 * 150]
    found = groups.summary([eighty], *some, CLASSES)["columns"][0]["groups"]
    for name in NUMBERS:
        low, high = np.array([x["intervals"][name] for x in found]).T
        covered = np.mean((low <= truth[name]) & (truth[name] <= high))
        assert covered > 0.88, name
    if scale == 1:
        by_chance = [group["ece_by_chance"] for group in found]
        parts = [slice(i, i + 150) for i in range(0, 600 * 150, 150)]
        errors = [Counts.of(logits[x], labels[x]).metrics()["ece"] for x in parts]
        assert np.mean(errors) == pytest.approx(np.mean(by_chance), rel=0.05)


def largest(images, hits, **options):
    names = "abcdef"[: images.shape[1]]
    return groups.largest_gap(names, images, hits, **{"permutations": 2000} | options)


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


@pytest.mark.parametrize(
    "images, recall",
    [
        ([[80, 20, 50], [10, 60, 30], [200, 100, 90]], [[0.95], [0.6], [0.85]]),
        (np.full((2, 6), 50), 0.8),  # the largest of 15 gaps is larger than one
    ],
)
def test_p_is_uniform_where_there_is_no_gap(images, recall):
    rng, images = np.random.default_rng(0), np.array(images)
    gaps = [
        largest(images, drawn(rng, images, np.array(recall)), permutations=400)
        for _ in range(400)
    ]
    p = np.array([gap["p"] for gap in gaps])
    for level in (0.05, 0.2, 0.5, 0.8):
        assert np.mean(p <= level) == pytest.approx(level, abs=0.07)
    assert np.mean(p <= 0.05) < 0.09


def test_classes_neither_make_a_gap_nor_hide_one():
    rng = np.random.default_rng(2)
    images = np.array([[400, 100], [100, 400]])
    gap = largest(images, drawn(rng, images, np.array([[0.95], [0.55]])))
    assert gap["gap"] > 0.2 and gap["by_classes"] > 0.2
    assert gap["equal_classes"]["gap"] < 0.05 and gap["p"] > 0.05
    # In each class the second group is worse, but it has more of the easy one.
    images = np.array([[200, 480], [300, 20]])
    gap = largest(images, drawn(rng, images, np.array([[0.95, 0.85], [0.5, 0.2]])))
    assert gap["highest"] == "b" and gap["equal_classes"]["highest"] == "a"
    assert gap["p"] < 0.001


def test_a_gap_in_words():
    all_right = np.array([[5, 5], [0, 0], [3, 0]])  # of one class there is no image
    gap = largest(all_right, all_right) | {"corrected_p": 1}
    assert gap["gap"] == gap["by_chance"] == 0 and gap["p"] == 1
    text = groups.sentence(gap, 1)
    assert "none" in text and "from chance" in text
