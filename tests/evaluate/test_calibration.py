"""Temperature scaling finds the temperature that was put in."""

import numpy as np
import pytest

from qcs_jax.evaluate.counts import Counts, probabilities
from qcs_jax.evaluate.results import HIGHEST, LOWEST, fit_temperature


def drawn_from(logits, rng):
    """Labels that follow the probabilities of the logits."""
    p = probabilities(logits)
    return (p.cumsum(axis=1) > rng.random((len(p), 1))).argmax(axis=1)


@pytest.mark.parametrize("t", [0.4, 1.0, 2.5])
def test_finds_the_temperature(t):
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((20_000, 5))
    labels = drawn_from(logits, rng)
    found = fit_temperature((t * logits).astype(np.float32), labels)
    assert found == pytest.approx(t, rel=0.05)


def test_no_other_temperature_is_better():
    rng = np.random.default_rng(1)
    logits, labels = 3 * rng.standard_normal((200, 4)), rng.integers(0, 4, 200)
    best = fit_temperature(logits, labels)

    def nll(t):
        return Counts.of(logits / t, labels).metrics()["nll"]

    assert nll(best) <= min(map(nll, np.geomspace(0.05, 50, 400))) + 1e-9


def test_the_ends_are_reached_without_an_error():
    right = 5.0 * np.eye(3)
    assert LOWEST < fit_temperature(right, np.arange(3)) < 0.1
    assert fit_temperature(right, np.array([1, 2, 0])) > HIGHEST / 2
