"""What the page answers to whoever asks whether to trust a model."""

import numpy as np
import pytest

from qcs_jax.evaluate import groups, results
from qcs_jax.evaluate.counts import probabilities
from qcs_jax.evaluate.group_file import Grouping
from qcs_jax.evaluate.predictions import Predictions
from qcs_jax.figures import trust

CLASSES = ("calm", "sad", "mad")
CALIBRATION = "Does it know when it is wrong?"


def evaluation(share=0.8, temperature=None, sharper=1.0):
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    chosen = np.where(rng.random(300) < share, labels, (labels + 1) % 3)
    logits = np.eye(3)[chosen] * rng.uniform(1, 6, (300, 1)) * sharper
    logits = logits.astype(np.float32)
    measured = results.measure(CLASSES, labels, logits, logits, temperature)
    p = probabilities(logits).astype(np.float32)
    ids = tuple(f"{i}.jpg" for i in range(300))
    return measured | {"seed": 4}, Predictions(ids, labels, p, CLASSES), logits


def answers(measured, predicted, *_, elsewhere=(), on_drawings=False):
    """The text about each question."""
    rows = trust.answers(measured, predicted, elsewhere, on_drawings=on_drawings)
    for row in rows:
        assert (row.section == "") == row.text.startswith("Not measured")
    return {row.question: row.text for row in rows}


def test_what_was_not_measured_is_named_with_the_way_to_do_it():
    rows = answers(*evaluation(), on_drawings=True)
    texts = [text for text in rows.values() if text.startswith("Not measured")]
    assert len(texts) == 4
    for part in ("--corruptions", "--groups=FILE.csv", "transfer", "experiment"):
        assert sum(part in text for text in texts) == 1, part
    assert rows["What was it trained on?"].startswith("On drawings")


def test_the_numbers_are_those_that_were_measured():
    measured, predicted, _ = evaluation()
    text = answers(measured, predicted)
    accuracy = measured["metrics"]["accuracy"]
    assert f"{100 * accuracy:.1f} % of 300 answers" in text["Is it right?"]
    assert "would give 33.3 %, guessing 33.3 %" in text["Is it right?"]
    worst = min(measured["per_class"], key=lambda row: row["recall"])
    start = f"{worst['class']}: {100 * worst['recall']:.1f} % of 100"
    assert text["What does it recognise worst?"].startswith(start)
    sure = predicted.probabilities.max(axis=1) >= 0.9
    right = f"are 90 % sure or more, {100 * predicted.correct[sure].mean():.1f} % are"
    assert f"Of the {sure.sum()} answers that {right}" in text[CALIBRATION]
    assert "no better than not looking" not in text["Is it right?"]
    assert "no better than not looking" in answers(*evaluation(0.33))["Is it right?"]


@pytest.mark.parametrize("sharper, how", [(1 / 3, "less"), (50 / 3, "more")])
def test_over_and_underconfidence(sharper, how):
    text = answers(*evaluation(0.95, sharper=sharper))[CALIBRATION]
    assert f"points {how} confident" in text


def test_a_temperature_is_praised_only_if_it_helps():
    for temperature, helps in ((1.8, True), (0.2, False), (1.0, False)):
        measured, predicted, _ = evaluation(0.6, temperature=temperature, sharper=3)
        scaled, error = measured["calibrated"]["ece"], measured["metrics"]["ece"]
        assert (scaled < error) == helps
        text = answers(measured, predicted)[CALIBRATION]
        praise = f"{temperature:.2f} brings the error to {100 * scaled:.1f} %"
        assert (praise in text) == ("temperature" in text) == helps


def test_robustness_groups_and_other_data_sets():
    measured, predicted, logits = evaluation()
    accuracy = {"noise": [0.7, 0.5], "low light": [0.5, 0.3]}
    measured["robustness"] = results.robustness(accuracy, 0.8)
    members = np.arange(300) // 100  # the last has no group
    plain = Grouping("age", ("old", "young"), np.where(members == 2, -1, members))
    few = Grouping("hat", ("no", "yes"), np.where(np.arange(300) < 290, 0, 1))
    measured["groups"] = groups.summary([plain, few], logits, predicted.labels, CLASSES)
    metrics = {"accuracy": 0.4, "most_frequent": 0.35}
    other = {"dataset": "other", "examples": 50, "metrics": metrics}
    rows = answers(measured, predicted, elsewhere=[other])
    assert rows["Does it hold on worse images?"] == (
        "50.0 % are right on average over 2 corruptions, beside 80.0 % without; least "
        "with low light, 40.0 %."
    )
    text = rows["Does it serve all people alike?"]
    assert text.startswith("age: ") and "cannot be told from chance" in text
    assert text.endswith("hat: too few images to compare.")
    assert rows["Does it hold on other data sets?"] == (
        "other: 40.0 % of 50 images, where the most frequent class has 35.0 %."
    )
