"""The learning rate of every step."""

import functools

import numpy as np
import optax
import pytest

from qcs_jax.train.schedule import learning_rate

STEPS, EPOCHS = 10, 6
PLAIN = dict(epoch_steps=STEPS, epochs=EPOCHS, decay=0.9, warmup=0.0)


def rates(**options):
    rate = functools.partial(learning_rate, largest=2.0, **PLAIN | options)
    return np.array([rate(step) for step in range(STEPS * EPOCHS)])


def test_the_papers_falls_by_a_factor_from_epoch_to_epoch():
    expected = 2.0 * 0.9 ** np.repeat(np.arange(EPOCHS), STEPS)
    np.testing.assert_array_equal(rates(schedule="exponential"), expected)


@pytest.mark.parametrize("warmup", [0.0, 0.5, 2.0])
def test_cosine_is_that_of_optax(warmup):
    rising = int(warmup * STEPS)
    wave = optax.cosine_decay_schedule(2.0, STEPS * EPOCHS - rising)
    found = rates(schedule="cosine", warmup=warmup)
    expected = [float(wave(step)) for step in range(STEPS * EPOCHS - rising)]
    np.testing.assert_allclose(found[rising:], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("schedule", ["exponential", "cosine"])
@pytest.mark.parametrize("warmup", [0.1, 0.5, 1.0, 1.5])
def test_the_warmup_rises_in_equal_steps_to_the_largest(schedule, warmup):
    found = rates(schedule=schedule, warmup=warmup, decay=1.0)
    rising = int(warmup * STEPS)
    assert found.max() == 2.0 == found[max(rising - 1, 0)]
    np.testing.assert_allclose(np.diff(found[:rising]), 2.0 / (warmup * STEPS))
    assert np.all(np.diff(found[rising:]) <= 0) and found.min() > 0


def test_another_schedule_is_refused():
    with pytest.raises(ValueError, match="choose exponential or cosine"):
        rates(schedule="linear")
