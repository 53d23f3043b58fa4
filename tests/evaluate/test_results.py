"""What an evaluation says: every number under its own name."""

import json

import numpy as np
import pytest

from qcs_jax.evaluate import results
from qcs_jax.evaluate.counts import Counts, probabilities
from qcs_jax.evaluate.results import HIGHEST, LOWEST, fit_temperature, measure

CLASSES = ("calm", "glad", "sad")


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
    assert measured["accuracy"] == accuracy and measured["clean"] == 0.9
    assert measured["mean"] == pytest.approx(0.5)
    assert measured["kept"] == pytest.approx(5 / 9)
    *table, about = results.robustness_table(measured).splitlines()
    assert table[1].split() == ["noise", "80.0", "60.0", "70.0"]
    assert about.endswith("accuracy 50.0, without corruption 90.0, 56% of it")
    nothing = results.robustness(accuracy, 0.0)
    assert nothing["kept"] is None
    assert results.robustness_table(nothing).endswith("without corruption 0.0")
