"""Metrics against scikit-learn and plain definitions."""

import dataclasses
import math

import numpy as np
import pytest
import sklearn.metrics as sk
from scipy.special import softmax

from qcs_jax.evaluate.counts import BINS, Counts, NotFiniteError
from qcs_jax.evaluate.results import fit_temperature


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extreme_logits_stay_finite(dtype):
    logits = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 1e4], [0, 0, 0]], dtype)
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


@pytest.mark.parametrize("gap", [-0.2, 0.0, 0.3])
def test_calibration_error_is_the_gap(gap):
    """Confidence 0.7 and 0.8 in turn, right in (confidence - gap) of the cases."""
    logits, labels = [], []
    for confidence in (0.7, 0.8):
        p = [confidence, 1 - confidence]
        hits = round(1000 * (confidence - gap))
        logits += 1000 * [np.log(p)]
        labels += hits * [0] + (1000 - hits) * [1]
    found = Counts.of(np.array(logits), np.array(labels)).metrics()
    assert found["ece"] == pytest.approx(abs(gap), abs=1e-9)
