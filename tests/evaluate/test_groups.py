"""What is measured of each group: the numbers of its images, and how sure they are."""

import json

import numpy as np
import pytest
from scipy import stats

from qcs_jax.evaluate import groups
from qcs_jax.evaluate.counts import Counts, intervals
from qcs_jax.evaluate.group_file import Grouping
from qcs_jax.evaluate.resampling import proportion, resampled_sums

CLASSES = ("calm", "glad", "sad")
NUMBERS = ("accuracy", "mean_class_accuracy", "ece", "nll", "overconfidence")


def answers(rng, count, sharp=2.0):
    """Calibrated ones: labels are drawn from the probabilities."""
    logits = sharp * rng.normal(size=(count, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
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


def test_numbers_are_those_of_the_images(measured):
    logits, labels, columns, found = measured
    assert found["notes"] == ["a note"] and found["small"] == groups.SMALL
    for given, column in zip(columns, found["columns"], strict=True):
        assert column["column"] == given.column
        assert column["unknown"] == (given.members < 0).sum()
        assert [x["group"] for x in column["groups"]] == list(given.names)
        for i, group in enumerate(column["groups"]):
            here = given.members == i
            counts = Counts.of(logits[here], labels[here])
            metrics = counts.metrics()
            for name in ("examples", *NUMBERS[:-1]):
                assert group[name] == metrics[name]
            p = np.exp(logits[here]) / np.exp(logits[here]).sum(1, keepdims=True)
            over = p.max(1).mean() - metrics["accuracy"]
            assert group["overconfidence"] == pytest.approx(over)
            for row, of_class in zip(
                counts.per_class(), group["per_class"], strict=True
            ):
                assert of_class["recall"] == row["recall"]
                assert of_class["examples"] == row["examples"]


def test_intervals_hold_the_numbers_and_are_those_of_counts(measured):
    logits, labels, columns, found = measured
    for given, column in zip(columns, found["columns"], strict=True):
        for i, group in enumerate(column["groups"]):
            here = given.members == i
            expected = intervals(Counts.of(logits[here], labels[here]).confusion)
            for name in ("accuracy", "mean_class_accuracy"):
                np.testing.assert_allclose(
                    group["intervals"][name], expected[name], atol=1.01 / here.sum()
                )
            for name in set(NUMBERS) - {"ece"}:
                low, high = group["intervals"][name]
                assert low < group[name] < high
            for row in group["per_class"]:
                assert row["interval"][0] < row["recall"] < row["interval"][1]


def test_small_groups_are_marked_and_not_compared(measured):
    *_, found = measured
    skin, glasses = found["columns"]
    assert [x["small"] for x in skin["groups"]] == [False, False, True]
    assert {skin["gap"]["highest"], skin["gap"]["lowest"]} == {"a", "b"}
    table = groups.table(found)
    lines, text = table.splitlines(), " ".join(table.split())
    assert max(map(len, lines)) <= 120
    assert any(line.startswith("  c *") for line in lines)
    assert "  * Fewer than 50 images, too few to be compared." in lines
    assert "  50 images belong to no known group." in lines
    for column in (skin, glasses):
        assert column["gap"]["sentence"] in text
        assert "corrected for 2 columns" in column["gap"]["sentence"]


def test_one_group_has_no_gap():
    logits, labels = answers(np.random.default_rng(1), 120)
    for members in ([0] * 120, [0] * 90 + [1] * 30, [-1] * 120):
        found = groups.summary([grouping("x", members)], logits, labels, CLASSES)
        assert found["columns"][0]["gap"] is None
        assert "no two groups of 50 images or more" in groups.table(found)
    assert found["columns"][0]["groups"] == [] and json.dumps(found)


def test_neither_the_order_of_images_nor_other_columns_matter(measured):
    logits, labels, columns, found = measured
    order = np.random.default_rng(2).permutation(600)
    shuffled = [grouping(x.column, x.members[order]) for x in columns]
    again = groups.summary(shuffled, logits[order], labels[order], CLASSES)
    alone = groups.summary(columns[:1], logits, labels, CLASSES)["columns"][0]
    assert alone["groups"] == found["columns"][0]["groups"]
    assert alone["gap"]["p"] == found["columns"][0]["gap"]["p"]
    for column, other in zip(found["columns"], again["columns"], strict=True):
        assert column["gap"]["p"] == other["gap"]["p"]
        for one, two in zip(column["groups"], other["groups"], strict=True):
            for name in NUMBERS:
                assert one[name] == pytest.approx(two[name])
                np.testing.assert_allclose(
                    one["intervals"][name], two["intervals"][name], atol=0.03
                )


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


@pytest.mark.parametrize("scale", [1.0, 1.3, 2.0])
def test_intervals_cover_the_truth(scale):
    """In 9 of 10 groups at least, also where the network is surer than it should be."""
    logits, labels = answers(np.random.default_rng(4), 200_000, sharp=1.5)
    log_p = groups.log_softmax(scale * logits)
    truth = Counts.of(log_p, labels).metrics()
    truth["overconfidence"] = np.exp(log_p.max(1)).mean() - truth["accuracy"]
    if scale == 1:
        truth["ece"] = 0
    answered = [
        groups._Answers(log_p[i : i + 150], labels[i : i + 150])
        for i in range(0, 150 * 150, 150)
    ]
    found = [groups._group("x", some, CLASSES) for some in answered]
    for name in NUMBERS:
        low, high = np.array([x["intervals"][name] for x in found]).T
        covered = np.mean((low <= truth[name]) & (truth[name] <= high))
        assert covered > 0.88, name
    if scale == 1:
        by_chance = [group["ece_by_chance"] for group in found]
        errors = [group["ece"] for group in found]
        assert np.mean(errors) == pytest.approx(np.mean(by_chance), rel=0.05)


def test_all_right_is_no_certainty():
    """Where each draw is the same, the exact end of a binomial interval stands."""
    exact = stats.binomtest(8, 8).proportion_ci(0.95)
    assert proportion(np.ones(9), 8, 8) == pytest.approx([exact.low, 1])
    exact = stats.binomtest(0, 8).proportion_ci(0.95)
    assert proportion(np.zeros(9), 0, 8) == pytest.approx([0, exact.high])
    logits = np.tile([5.0, 0.0, 0.0], (60, 1))
    columns = [grouping("x", [0] * 60)]
    found = groups.summary(columns, logits, np.zeros(60, int), CLASSES)
    [group] = found["columns"][0]["groups"]
    assert group["intervals"]["accuracy"][0] == pytest.approx(0.025 ** (1 / 60))
    calm, glad, _ = group["per_class"]
    assert calm["interval"] == group["intervals"]["accuracy"]
    assert glad == {"class": "glad", "examples": 0, "recall": None, "interval": None}


@pytest.mark.parametrize("at_once", [1, 30, 10**6])
def test_draws_are_with_replacement(at_once, monkeypatch):
    monkeypatch.setattr("qcs_jax.evaluate.resampling._AT_ONCE", at_once)
    sums = resampled_sums(np.eye(4), resamples=5000)
    assert sums.shape == (5000, 4) and (sums.sum(1) == 4).all()
    np.testing.assert_allclose(sums.mean(0), 1, atol=0.05)
    np.testing.assert_allclose(sums.var(0), 3 / 4, atol=0.06)
