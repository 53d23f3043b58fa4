"""What the page answers to whoever asks whether to trust a model."""

import numpy as np
import pytest

from qcs_jax.evaluate import groups, results
from qcs_jax.evaluate.counts import probabilities
from qcs_jax.evaluate.group_file import Grouping
from qcs_jax.evaluate.predictions import Predictions
from qcs_jax.figures import trust
from qcs_jax.figures.elsewhere import Elsewhere

CLASSES = ("calm", "sad", "mad")


def evaluation(share=0.8, count=300, temperature=None):
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    right = rng.random(count) < share
    chosen = np.where(right, labels, (labels + 1) % 3)
    logits = (np.eye(3)[chosen] * rng.uniform(1, 6, (count, 1))).astype(np.float32)
    measured = results.measure(CLASSES, labels, logits, logits, temperature)
    ids = tuple(f"{i}.jpg" for i in range(count))
    p = probabilities(logits).astype(np.float32)
    return (
        measured | {"seed": 4},
        Predictions(ids, labels, p, CLASSES),
        (logits, labels),
    )


def told(measured, predicted, elsewhere=(), drawn=False):
    found = trust.answers(measured, predicted, elsewhere, drawn=drawn)
    return {answer.question: answer for answer in found}


def test_what_was_not_measured_is_named_with_the_way_to_do_it():
    found = told(*evaluation()[:2])
    unknown = {q: a.text for q, a in found.items() if not a.known}
    assert len(unknown) == 4
    for part in ("--corruptions", "--groups=FILE.csv", "transfer", "experiment"):
        assert sum(part in text for text in unknown.values()) == 1, part
    assert all(text.startswith("Not measured") for text in unknown.values())
    assert not any(found[q].section for q in unknown)


def test_the_numbers_are_those_that_were_measured():
    measured, predicted, _ = evaluation(temperature=0.8)
    found = told(measured, predicted)
    accuracy = measured["metrics"]["accuracy"]
    assert f"{100 * accuracy:.1f} % of 300 answers" in found["Is it right?"].text
    assert "would give 33.3 %, guessing 33.3 %" in found["Is it right?"].text
    worst = min(measured["per_class"], key=lambda row: row["recall"])
    text = found["What does it recognise worst?"].text
    assert text.startswith(f"{worst['class']}: {100 * worst['recall']:.1f} % of 100")
    confidence = predicted.probabilities.max(axis=1)
    sure = confidence >= 0.9
    text = found["Does it know when it is wrong?"].text
    right = 100 * predicted.correct[sure].mean()
    assert (
        f"Of the {sure.sum()} answers that are 90 % sure or more, {right:.1f} %" in text
    )
    assert f"A temperature of {measured['calibrated']['temperature']:.2f}" in text


@pytest.mark.parametrize("sharper, how", [(1, "less"), (50, "more")])
def test_over_and_underconfidence(sharper, how):
    measured, predicted, (logits, labels) = evaluation(0.95)
    sharp = logits * sharper / 3
    p = probabilities(sharp).astype(np.float32)
    predicted = Predictions(predicted.ids, labels, p, CLASSES)
    measured = results.measure(CLASSES, labels, sharp, logits) | {"seed": 0}
    assert f"points {how} confident" in told(measured, predicted)[
        "Does it know when it is wrong?"
    ].text  # fmt: skip


def test_no_better_than_not_looking():
    measured, predicted, _ = evaluation(0.33)
    assert (
        "no better than not looking" in told(measured, predicted)["Is it right?"].text
    )


def test_robustness_groups_and_other_data_sets():
    measured, predicted, (logits, labels) = evaluation()
    accuracy = {"noise": [0.7, 0.5], "low light": [0.5, 0.3]}
    measured["robustness"] = results.robustness(accuracy, 0.8)
    members = np.arange(300) // 100  # the last is said of nobody
    plain = Grouping("age", ("old", "young"), np.where(members == 2, -1, members))
    few = Grouping("hat", ("no", "yes"), np.where(np.arange(300) < 290, 0, 1))
    measured["groups"] = groups.summary([plain, few], logits, labels, CLASSES)
    metrics = {"accuracy": 0.4, "most_frequent": 0.35}
    other = Elsewhere("other", "test", 50, 3, 3, metrics, (0.3, 0.5), ())
    found = told(measured, predicted, [other])
    assert found["Does it hold on worse images?"].text == (
        "50.0 % are right on average over 2 corruptions, beside 80.0 % without; least "
        "with low light, 40.0 %."
    )
    text = found["Does it serve all people alike?"].text
    assert text.startswith("age: ") and "cannot be told from chance" in text
    assert text.endswith("hat: too few images to compare.")
    assert found["Does it hold on other data sets?"].text == (
        "other: 40.0 % of 50 images, where the most frequent class has 35.0 %."
    )
    sections = {answer.section for answer in found.values()}
    assert {"robustness", "groups", "elsewhere", "calibration"} <= sections


def test_drawings():
    measured, predicted, _ = evaluation()
    text = told(measured, predicted, drawn=True)["What was it trained on?"].text
    assert text.startswith("On drawings")
