"""What a configuration stands for, and whether it can run on these devices."""

import jax
import numpy as np
import optax
import pytest
import toy

from qcs_jax.models import create
from qcs_jax.system.errors import UserError
from qcs_jax.train import run as train_run
from qcs_jax.train.run import Run


def test_epochs_are_whole_batches_of_anchors():
    run = Run.of(toy.config(**{"data.epoch_fraction": 0.5, "train.epochs": 3}))
    assert (run.epoch_steps, run.total_steps) == (3, 9)  # 25 anchors, 8 in a step


def test_the_network_has_the_classes_of_the_data_set_or_its_own():
    assert Run.of(toy.config()).model.num_classes == len(toy.CLASSES)
    run = Run.of(toy.config(**{"data.label_map": "by_name"}), ("glad", "other"))
    assert run.model.num_classes == 2
    assert run.splits.class_names == ("glad", "other")


def test_evaluation_does_not_mind_the_batch_of_training():
    c = toy.config(**{"train.batch_size": jax.device_count() + 1})
    with pytest.raises(UserError, match="train.batch_size=9 cannot be split"):
        Run.of(c)
    Run.of(c, trained_on=toy.CLASSES)


def test_the_step_is_what_the_configuration_says(monkeypatch):
    chosen = {"optimizer.average": 0.9, "optimizer.local_climb": True}
    chosen |= {"seed": 7, "augment.photograph": 0.3}
    c, made = toy.config(**chosen), {}
    monkeypatch.setattr(train_run, "make_train_step", lambda *_, **x: made.update(x))
    train_run.create_train_step(c, create("qcs", "tiny"), None)
    assert (made["average"], made["local_climb"], made["seed"]) == (0.9, True, 7)
    assert made["augment_fn"].keywords["augmentation"].photograph == 0.3
    c.optimizer.rho = 0.1
    assert train_run.create_optimizer(c).rho == 0.1


STEPS, EPOCHS = 6, 6


def rates(**options):
    fields = {f"optimizer.{name}": value for name, value in options.items()}
    fields |= {"optimizer.learning_rate": 2.0, "train.epochs": EPOCHS}
    run = Run.of(toy.config(**fields))
    return np.array([run.learning_rate(step) for step in range(run.total_steps)])


def test_the_papers_falls_by_a_factor_from_epoch_to_epoch():
    expected = 2.0 * 0.9 ** np.repeat(np.arange(EPOCHS), STEPS)
    np.testing.assert_array_equal(rates(decay=0.9), expected)


@pytest.mark.parametrize("warmup", [0.0, 0.5, 2.0])
def test_cosine_is_that_of_optax(warmup):
    rising = int(warmup * STEPS)
    wave = optax.cosine_decay_schedule(2.0, STEPS * EPOCHS - rising)
    measured = rates(schedule="cosine", warmup=warmup)[rising:]
    expected = [float(wave(step)) for step in range(STEPS * EPOCHS - rising)]
    np.testing.assert_allclose(measured, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("schedule", ["exponential", "cosine"])
@pytest.mark.parametrize("warmup", [0.1, 0.5, 1.5])
def test_the_warmup_rises_in_equal_steps_to_the_largest(schedule, warmup):
    measured = rates(schedule=schedule, warmup=warmup, decay=1.0)
    rising = int(warmup * STEPS)
    assert measured.max() == 2.0 == measured[max(rising - 1, 0)]
    np.testing.assert_allclose(np.diff(measured[:rising]), 2.0 / (warmup * STEPS))
    assert np.all(np.diff(measured[rising:]) <= 0) and measured.min() > 0
