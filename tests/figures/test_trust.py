"""What the page answers to whoever asks whether to trust a model."""

import html
import re

import numpy as np
import pytest

from qcs_jax.evaluate import results
from qcs_jax.evaluate.counts import probabilities
from qcs_jax.figures import page

CLASSES = ("calm", "sad", "mad")
LABELS = np.arange(300) % 3
RIGHT = "Is it right?"
CALIBRATION = "Does it know when it is wrong?"


def evaluated(share=0.8, temperature=None, sharper=1.0):
    """What is measured of made-up answers, the answers to the questions, and logits."""
    rng = np.random.default_rng(0)
    chosen = np.where(rng.random(300) < share, LABELS, (LABELS + 1) % 3)
    logits = np.eye(3)[chosen] * rng.uniform(1, 6, (300, 1)) * sharper
    logits = logits.astype(np.float32)
    measured = results.measure(CLASSES, LABELS, logits, logits, temperature)
    text = page.TEMPLATES.get_template("trust.html.jinja").render(
        measured=measured | {"seed": 4},
        confidence=probabilities(logits).astype(np.float32).max(axis=1),
        correct=logits.argmax(axis=1) == LABELS,
        elsewhere=[],
        drawings=True,
    )
    rows = re.findall(r"<dt>(.*?)</dt>\s*<dd.*?>(.*?)</dd>", text, re.DOTALL)
    text = {re.sub("<.*?>", "", q): " ".join(html.unescape(x).split()) for q, x in rows}
    return measured, text, logits


def test_the_numbers_are_those_that_were_measured():
    measured, text, logits = evaluated()
    accuracy = measured["metrics"]["accuracy"]
    assert f"{100 * accuracy:.1f} % of 300 answers" in text[RIGHT]
    assert "would give 33.3 %, guessing 33.3 %" in text[RIGHT]
    assert "no better than not looking" not in text[RIGHT]
    worst = min(measured["per_class"], key=lambda row: row["recall"])
    start = f"{worst['class']}: {100 * worst['recall']:.1f} % of 100"
    assert text["What does it recognise worst?"].startswith(start)
    sure = probabilities(logits).max(axis=1) >= 0.9
    share = 100 * np.mean(logits.argmax(axis=1)[sure] == LABELS[sure])
    right = f"are 90 % sure or more, {share:.1f} % are right"
    assert f"Of the {sure.sum()} answers that {right}" in text[CALIBRATION]
    assert text["What was it trained on?"].startswith("On drawings")


def test_what_is_no_better_than_guessing_or_over_and_underconfident():
    assert "no better than not looking" in evaluated(0.33)[1][RIGHT]
    for sharper, how in ((1 / 3, "less"), (50 / 3, "more")):
        text = evaluated(0.95, sharper=sharper)[1][CALIBRATION]
        assert f"points {how} confident" in text


@pytest.mark.parametrize("temperature, helps", [(1.8, 1), (0.2, 0), (1.0, 0)])
def test_a_temperature_is_praised_only_if_it_helps(temperature, helps):
    measured, texts, _ = evaluated(0.6, temperature, sharper=3)
    text = texts[CALIBRATION]
    scaled, error = measured["calibrated"]["ece"], measured["metrics"]["ece"]
    assert (scaled < error) == helps
    praise = f"{temperature:.2f} brings the error to {100 * scaled:.1f} %"
    assert (praise in text) == ("temperature" in text) == helps
