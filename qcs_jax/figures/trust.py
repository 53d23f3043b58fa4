"""May I trust this model? What was measured says, and what was not is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from qcs_jax.evaluate.predictions import Predictions

_SURE = 0.9  # a confidence at which people take an answer for granted


class Answer(NamedTuple):
    """A question that whoever uses a model should ask, and what is known."""

    question: str
    text: str  # or how to get the answer
    section: str = ""  # `id` of the part of the page about it, if it was measured


def answers(
    measured: Mapping,
    predicted: Predictions,
    elsewhere: Sequence[Mapping],
    *,
    on_drawings: bool,
) -> list[Answer]:
    """Answers from `metrics.json`, and those of other data sets (`elsewhere`)."""
    return [
        _accuracy(measured),
        _weakest(measured["per_class"]),
        _calibration(measured, predicted),
        _robustness(measured.get("robustness")),
        _groups(measured.get("groups")),
        _elsewhere(elsewhere),
        Answer(
            "Would another training say the same?",
            f"Not measured: this is the training with seed {measured['seed']}. "
            f"qcs-jax experiment trains with several.",
        ),
        Answer(
            "What was it trained on?",
            "On drawings: about photographs its answers mean little."
            if on_drawings
            else "On the images below. What it says is which expression people would "
            "name there, not what somebody feels.",
            "data",
        ),
    ]


def _accuracy(measured: Mapping) -> Answer:
    metrics = measured["metrics"]
    low, high = measured["intervals"]["accuracy"]
    blind = metrics["most_frequent"]
    text = (
        f"{_percent(metrics['accuracy'])} of {measured['examples']} answers, "
        f"{100 * low:.1f} to {_percent(high)} with other images of this kind. Always "
        f"answering the most frequent class would give {_percent(blind)}, guessing "
        f"{_percent(metrics['chance'])}."
    )
    if low <= blind:
        text += " That is no better than not looking at the images."
    return Answer("Is it right?", text, "metrics")


def _weakest(per_class: Sequence[Mapping]) -> Answer:
    rows = [row for row in per_class if row["recall"] is not None]
    worst = min(rows, key=lambda row: row["recall"])
    best = max(rows, key=lambda row: row["recall"])
    text = (
        f"{worst['class']}: {_percent(worst['recall'])} of {worst['examples']} images "
        f"are recognised. Best is {best['class']} with {_percent(best['recall'])} of "
        f"{best['examples']}."
    )
    return Answer("What does it recognise worst?", text, "metrics")


def _calibration(measured: Mapping, predicted: Predictions) -> Answer:
    confidence = predicted.probabilities.max(axis=1)
    excess = float(confidence.mean() - predicted.correct.mean())
    how = "more" if excess > 0 else "less"
    error = measured["metrics"]["ece"]
    text = (
        f"On average it is {100 * abs(excess):.1f} points {how} confident than right, "
        f"with a calibration error of {_percent(error)}."
    )
    sure = confidence >= _SURE
    if sure.any():
        text += (
            f" Of the {sure.sum()} answers that are {100 * _SURE:.0f} % sure or more, "
            f"{_percent(predicted.correct[sure].mean())} are right."
        )
    scaled = measured["calibrated"]
    if scaled and round(scaled["ece"], 3) < round(error, 3):
        text += (
            f" A temperature of {scaled['temperature']:.2f} brings the error to "
            f"{_percent(scaled['ece'])}: exports with --calibrate apply it."
        )
    return Answer("Does it know when it is wrong?", text, "calibration")


def _robustness(measured: Mapping | None) -> Answer:
    question = "Does it hold on worse images?"
    if measured is None:
        return Answer(question, "Not measured: evaluate with --corruptions.")
    means = {name: float(np.mean(x)) for name, x in measured["accuracy"].items()}
    worst = min(means, key=means.__getitem__)
    text = (
        f"{_percent(measured['mean'])} are right on average over {len(means)} "
        f"corruptions, beside {_percent(measured['clean'])} without; least with "
        f"{worst}, {_percent(means[worst])}."
    )
    return Answer(question, text, "robustness")


def _groups(measured: Mapping | None) -> Answer:
    question = "Does it serve all people alike?"
    if measured is None:
        how = "Not measured: evaluate with --groups=FILE.csv, which says who is who."
        return Answer(question, how)
    texts = []
    for column in measured["columns"]:
        text = "too few images to compare"
        if gap := column["gap"]:
            ends = gap["equal_classes"]
            text = (
                f"{100 * ends['gap']:.1f} points at most at equal classes, "
                f"{ends['highest']} above {ends['lowest']}, "
            )
            likely = "cannot be told from chance"
            text += "more than chance" if gap["significant"] else likely
        texts.append(f"{column['column']}: {text}.")
    return Answer(question, " ".join(texts), "groups")


def _elsewhere(evaluations: Sequence[Mapping]) -> Answer:
    question = "Does it hold on other data sets?"
    if not evaluations:
        return Answer(question, "Not measured: qcs-jax transfer tests it on them.")
    texts = [
        f"{x['dataset']}: {_percent(x['metrics']['accuracy'])} of {x['examples']} "
        f"images, where the most frequent class has "
        f"{_percent(x['metrics']['most_frequent'])}."
        for x in evaluations
    ]
    return Answer(question, " ".join(texts), "elsewhere")


def _percent(x: float) -> str:
    return f"{100 * x:.1f} %"
