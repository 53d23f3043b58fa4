"""What an evaluation says: every number under its own name."""

import json

import numpy as np
import pytest

from qcs_jax.evaluate.counts import Counts, probabilities
from qcs_jax.evaluate.results import Results, table, without_looking

CLASSES = ("calm", "glad", "sad")


def results(held_out=None, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 60)
    logits = (2 * np.eye(3)[labels] + rng.standard_normal((2, 60, 3))).astype("f4")
    return Results.of(CLASSES, labels, *logits, held_out)


def test_flip_is_the_mean_of_the_probabilities():
    r = results()
    measured = r.to_json()
    hits = (r.probabilities + probabilities(r.mirrored_logits)).argmax(
        axis=1
    ) == r.labels
    assert measured["flip"]["accuracy"] == pytest.approx(hits.mean())
    assert measured["metrics"] == Counts.of(r.logits, r.labels).metrics()
    assert measured["flip"]["nll"] < measured["metrics"]["nll"]


def test_flip_of_certain_errors_stays_finite():
    logits = np.array([[2000.0, 0, 0]], np.float32)
    measured = Results.of(CLASSES, np.array([1]), logits, logits, None).to_json()
    assert 700 < measured["flip"]["nll"] < 710  # the smallest number there is


def test_temperature_is_of_held_out_images_alone():
    assert results().to_json()["calibrated"] is None
    rng = np.random.default_rng(1)
    logits, labels = 9 * rng.standard_normal((500, 3)), rng.integers(0, 3, 500)
    calibrated = results((logits, labels)).to_json()["calibrated"]
    assert calibrated["temperature"] > 5
    r = results((logits, labels))
    scaled = Counts.of(r.logits / calibrated["temperature"], r.labels).metrics()
    assert calibrated["ece"] == pytest.approx(scaled["ece"], abs=1e-6)


def test_everything_is_json_and_in_the_table():
    held_out = np.eye(3), np.array([0, 1, 1])
    measured = json.loads(json.dumps(results(held_out).to_json()))
    text = table(measured)
    of_accuracy, beside = text.splitlines()[:2]
    assert of_accuracy.split()[0] == "accuracy"
    assert beside.strip() == without_looking(measured["metrics"])
    for name in ("accuracy", "mean_class_accuracy", "macro_f1"):
        low, high = measured["intervals"][name]
        assert low < measured["metrics"][name] < high
        assert f"{low:.4f} to {high:.4f}" in text
    for row in measured["per_class"]:
        line = next(x for x in text.splitlines() if x.split()[0] == row["class"])
        expected = [f"{row[n]:.4f}" for n in ("recall", "precision", "f1")]
        assert line.split()[1:] == [*expected, str(row["examples"])]


def test_a_class_without_images_has_no_recall():
    logits = np.eye(3, dtype=np.float32)[:2]
    measured = Results.of(CLASSES, np.arange(2), logits, logits, None).to_json()
    assert table(measured).splitlines()[-1].split() == ["sad", "-", "-", "-", "0"]
