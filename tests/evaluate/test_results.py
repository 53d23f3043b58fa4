"""Metrics against scikit-learn and plain definitions, and what is said of them."""

import dataclasses
import json
import math

import numpy as np
import pytest
import sklearn.metrics as sk
from scipy.special import softmax

from qcs_jax.evaluate import results
from qcs_jax.evaluate.counts import BINS, Counts, NotFiniteError, probabilities
from qcs_jax.evaluate.results import HIGHEST, LOWEST, fit_temperature, measure

CLASSES = ("calm", "glad", "sad")


def predictions(m, k=5):
    rng = np.random.default_rng(0)
    logits = (2 * rng.standard_normal((m, k))).astype(np.float32)
    return logits, rng.integers(0, k, m)


def check(logits, labels):
    """Every metric is what scikit-learn has, or its definition."""
    m, k = logits.shape
    p = softmax(logits.astype(np.float64), axis=1)
    guess, confidence = logits.argmax(axis=1), p.max(axis=1)
    gap = confidence - (guess == labels)
    bins = [
        (b / BINS < confidence) & (confidence <= (b + 1) / BINS) for b in range(BINS)
    ]
    macro = dict(average="macro", zero_division=0)
    expected = {
        "most_frequent": max(np.mean(labels == c) for c in range(k)),
        "chance": 1 / k,
        "accuracy": sk.accuracy_score(labels, guess),
        "mean_class_accuracy": sk.recall_score(
            labels, guess, labels=np.unique(labels), **macro
        ),
        "macro_f1": sk.f1_score(labels, guess, **macro),
        "nll": sk.log_loss(labels, p, labels=range(k)),
        "brier": ((p - np.eye(k)[labels]) ** 2).sum(axis=1).mean(),
        "ece": sum(abs(gap[b].sum()) for b in bins) / m,
        "examples": m,
    }
    found = Counts.of(logits, labels).metrics()
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    "m, k, absent", [(1, 2, []), (3, 7, []), (200, 7, []), (200, 5, [1, 4])]
)
def test_agrees_with_the_definitions(m, k, absent):
    logits, labels = predictions(m, k)
    kept = ~np.isin(labels, absent)
    never_predicted = logits - np.float32(50) * np.isin(np.arange(k), absent)
    # In float32, logits this far from 0 leave the probabilities 4 digits.
    far = logits.astype(np.float64) + 1000
    for some in (logits, never_predicted, far):
        check(some[kept], labels[kept])


def test_classes_agree_with_scikit_learn():
    logits, labels = predictions(500, 7)
    counts, guess = Counts.of(logits, labels), logits.argmax(axis=1)
    np.testing.assert_array_equal(counts.confusion, sk.confusion_matrix(labels, guess))
    columns = sk.precision_recall_fscore_support(labels, guess)
    names = ("precision", "recall", "f1", "examples")
    for name, column in zip(names, columns, strict=True):
        assert [row[name] for row in counts.per_class()] == pytest.approx(column)


def test_what_has_no_value():
    counts = Counts.of(np.eye(4)[[0, 2]], np.array([0, 1]))
    both, never_predicted, no_example, neither = counts.per_class()
    assert both["precision"] == both["recall"] == both["f1"] == 1
    assert never_predicted["precision"] is None and never_predicted["recall"] == 0
    assert no_example["recall"] is None and no_example["precision"] == 0
    assert neither["f1"] is None
    with pytest.raises(ValueError, match="no example"):
        Counts.of(np.zeros((0, 4)), np.zeros(0, int)).metrics()


def test_counts_do_not_depend_on_the_order_of_examples():
    logits, labels = predictions(1000)
    order = np.random.default_rng(1).permutation(len(labels))
    one, other = Counts.of(logits, labels), Counts.of(logits[order], labels[order])
    for field in dataclasses.fields(Counts):
        exact = getattr(one, field.name), getattr(other, field.name)
        np.testing.assert_array_equal(*exact)


def test_extreme_logits_stay_finite():
    logits = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 1e4], [0, 0, 0]], np.float32)
    counts = Counts.of(logits, np.array([1, 2, 0]))
    found = counts.metrics()
    assert all(map(math.isfinite, found.values()))
    expected = (2e4 + math.log(2) + math.log(3)) / 3
    assert found["nll"] == pytest.approx(expected, rel=1e-6)
    assert counts.bins[:, 0].sum() == 3 and counts.bins[-1, 0] == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("measure", [Counts.of, fit_temperature])
def test_logits_that_are_not_finite_have_no_metrics(measure, value):
    logits, labels = predictions(20)
    logits[3, 1] = logits[7] = value
    with pytest.raises(NotFiniteError, match="2 of 20 images is not finite"):
        measure(logits, labels)


@pytest.fixture(scope="module")
def answers():
    """Labels, logits and those of mirror images."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    logits = (2 * np.eye(3)[labels] + rng.standard_normal((2, 60, 3))).astype("f4")
    return labels, *logits


def test_flip_and_temperature(answers):
    labels, logits, mirrored = answers
    measured = measure(CLASSES, *answers, 5.0)
    both = probabilities(logits) + probabilities(mirrored)
    hits = both.argmax(axis=1) == labels
    assert measured["flip"]["accuracy"] == pytest.approx(hits.mean())
    assert measured["metrics"] == Counts.of(logits, labels).metrics()
    assert measured["flip"]["nll"] < measured["metrics"]["nll"]
    calibrated = measured["calibrated"]
    assert calibrated.pop("temperature") == 5
    scaled = Counts.of(logits / 5, labels).metrics()
    assert calibrated == pytest.approx({x: scaled[x] for x in calibrated}, abs=1e-6)
    wrong = np.array([[2000.0, 0, 0]], np.float32)
    measured = measure(CLASSES, np.array([1]), wrong, wrong)
    assert 700 < measured["flip"]["nll"] < 710  # the smallest number there is
    assert measured["calibrated"] is None


@pytest.mark.parametrize("t", [0.4, 1.0, 2.5])
def test_the_temperature_that_was_put_in(t):
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((20_000, 5))
    p = probabilities(logits)
    labels = (p.cumsum(axis=1) > rng.random((len(p), 1))).argmax(axis=1)
    found = fit_temperature((t * logits).astype(np.float32), labels)
    assert found == pytest.approx(t, rel=0.05)


def test_no_other_temperature_is_better():
    rng = np.random.default_rng(1)
    logits, labels = 3 * rng.standard_normal((200, 4)), rng.integers(0, 4, 200)
    best, *others = (
        Counts.of(logits / t, labels).metrics()["nll"]
        for t in (fit_temperature(logits, labels), *np.geomspace(0.05, 50, 100))
    )
    assert best <= min(others) + 1e-9
    right = 5.0 * np.eye(3)  # the ends are reached without an error
    assert LOWEST < fit_temperature(right, np.arange(3)) < 0.1
    assert fit_temperature(right, np.array([1, 2, 0])) > HIGHEST / 2


def test_everything_is_json_and_in_the_table(answers):
    measured = json.loads(json.dumps(measure(CLASSES, *answers, 1.2)))
    text = results.table(measured)
    of_accuracy, beside = text.splitlines()[:2]
    assert of_accuracy.split()[0] == "accuracy"
    most = measured["metrics"]["most_frequent"]
    assert beside.strip() == f"always the most frequent class {most:.4f}, chance 0.3333"
    for name in ("accuracy", "mean_class_accuracy", "macro_f1"):
        low, high = measured["intervals"][name]
        assert low < measured["metrics"][name] < high
        assert f"{low:.4f} to {high:.4f}" in text
    for row in measured["per_class"]:
        line = next(x for x in text.splitlines() if x.split()[0] == row["class"])
        expected = [f"{row[n]:.4f}" for n in ("recall", "precision", "f1")]
        assert line.split()[1:] == [*expected, str(row["examples"])]
    logits = np.eye(3, dtype=np.float32)[:2]
    measured = measure(CLASSES, np.arange(2), logits, logits)
    assert results.table(measured).split()[-5:] == ["sad", "-", "-", "-", "0"]


def test_accuracies_on_worse_images():
    accuracy = {"noise": [0.8, 0.6], "shift": [0.4, 0.2]}
    measured = results.robustness(accuracy, 0.9)
    assert measured["mean"] == pytest.approx(0.5)
    assert measured["kept"] == pytest.approx(5 / 9)
    *table, about = results.robustness_table(measured).splitlines()
    assert table[1].split() == ["noise", "80.0", "60.0", "70.0"]
    assert about.endswith("accuracy 50.0, without corruption 90.0, 56% of it")
    nothing = results.robustness(accuracy, 0.0)
    assert nothing["kept"] is None
    assert results.robustness_table(nothing).endswith("without corruption 0.0")
