"""May I trust this model? What was measured says, and what was not is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from qcs_jax.evaluate.predictions import Predictions
from qcs_jax.figures.elsewhere import Elsewhere

_SURE = 0.9  # a confidence at which people take an answer for granted


@dataclasses.dataclass(frozen=True)
class Answer:
    """A question that whoever uses a model should ask, and what is known.

    Attributes:
      question: The question.
      text: The answer, or how to get it.
      section: Where the page tells more: an `id`, or empty.
      known: Whether it was measured.
    """

    question: str
    text: str
    section: str = ""
    known: bool = True


def answers(
    measured: Mapping,
    predicted: Predictions,
    elsewhere: Sequence[Elsewhere],
    *,
    drawn: bool,
) -> list[Answer]:
    """Answers from an evaluation.

    Args:
      measured: What `metrics.json` says.
      predicted: The answers to its images.
      elsewhere: Evaluations on other data sets.
      drawn: Whether the network was trained on drawings.
    """
    return [
        _accuracy(measured),
        _weakest(measured),
        _calibration(measured, predicted),
        _robustness(measured.get("robustness")),
        _groups(measured.get("groups")),
        _elsewhere(elsewhere),
        _seeds(measured),
        _images(drawn),
    ]


def _accuracy(measured: Mapping) -> Answer:
    metrics = measured["metrics"]
    low, high = measured["intervals"]["accuracy"]
    blind = metrics["most_frequent"]
    text = (
        f"{_percent(metrics['accuracy'])} % of {measured['examples']} answers, "
        f"{_percent(low)} to {_percent(high)} % with other images of this kind. Always "
        f"answering the most frequent class would give {_percent(blind)} %, guessing "
        f"{_percent(metrics['chance'])} %."
    )
    if low <= blind:
        text += " That is no better than not looking at the images."
    return Answer("Is it right?", text, "metrics")


def _weakest(measured: Mapping) -> Answer:
    rows = [row for row in measured["per_class"] if row["recall"] is not None]
    worst = min(rows, key=lambda row: row["recall"])
    best = max(rows, key=lambda row: row["recall"])
    text = (
        f"{worst['class']}: {_percent(worst['recall'])} % of {worst['examples']} "
        f"images are recognised. Best is {best['class']} with "
        f"{_percent(best['recall'])} % of {best['examples']}."
    )
    return Answer("What does it recognise worst?", text, "metrics")


def _calibration(measured: Mapping, predicted: Predictions) -> Answer:
    confidence = predicted.probabilities.max(axis=1)
    excess = float(confidence.mean() - predicted.correct.mean())
    how = "more" if excess > 0 else "less"
    text = (
        f"On average it is {_percent(abs(excess))} points {how} confident than right, "
        f"with a calibration error of {_percent(measured['metrics']['ece'])} %."
    )
    sure = confidence >= _SURE
    if sure.any():
        right = float(predicted.correct[sure].mean())
        text += (
            f" Of the {int(sure.sum())} answers that are {100 * _SURE:.0f} % sure "
            f"or more, {_percent(right)} % are right."
        )
    if scaled := measured["calibrated"]:
        text += (
            f" A temperature of {scaled['temperature']:.2f} brings the error to "
            f"{_percent(scaled['ece'])} %: exports with --calibrate apply it."
        )
    return Answer("Does it know when it is wrong?", text, "calibration")


def _robustness(found: Mapping | None) -> Answer:
    question = "Does it hold on worse images?"
    if found is None:
        how = "Not measured: evaluate with --corruptions."
        return Answer(question, how, known=False)
    means = {name: float(np.mean(x)) for name, x in found["accuracy"].items()}
    worst = min(means, key=means.__getitem__)
    text = (
        f"{_percent(found['mean'])} % are right on average over {len(means)} "
        f"corruptions, beside {_percent(found['clean'])} % without; least with "
        f"{worst}, {_percent(means[worst])} %."
    )
    return Answer(question, text, "robustness")


def _groups(found: Mapping | None) -> Answer:
    question = "Does it serve all people alike?"
    if found is None:
        how = "Not measured: evaluate with --groups=FILE.csv, which says who is who."
        return Answer(question, how, known=False)
    texts = []
    for column in found["columns"]:
        gap = column["gap"]
        if gap is None:
            texts.append(f"{column['column']}: too few images to compare.")
            continue
        ends = gap["equal_classes"]
        told = (
            "more than chance" if gap["significant"] else "cannot be told from chance"
        )
        texts.append(
            f"{column['column']}: {_percent(ends['gap'])} points at most at equal "
            f"classes, {ends['highest']} above {ends['lowest']}, {told}."
        )
    return Answer(question, " ".join(texts), "groups")


def _elsewhere(found: Sequence[Elsewhere]) -> Answer:
    question = "Does it hold on other data sets?"
    if not found:
        how = "Not measured: qcs-jax transfer tests it on them."
        return Answer(question, how, known=False)
    texts = [
        f"{x.dataset}: {_percent(x.metrics['accuracy'])} % of {x.images} images, where "
        f"the most frequent class has {_percent(x.metrics['most_frequent'])} %."
        for x in found
    ]
    return Answer(question, " ".join(texts), "elsewhere")


def _seeds(measured: Mapping) -> Answer:
    text = (
        f"Not measured: this is the training with seed {measured['seed']}. "
        f"qcs-jax experiment trains with several."
    )
    return Answer("Would another training say the same?", text, known=False)


def _images(drawn: bool) -> Answer:
    text = (
        "On drawings: about photographs its answers mean little."
        if drawn
        else "On the images below. What it says is which expression people would name "
        "there, not what somebody feels."
    )
    return Answer("What was it trained on?", text, "data")


def _percent(x: float) -> str:
    return f"{100 * x:.1f}"
