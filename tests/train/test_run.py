"""What a configuration stands for, and whether it can run on these devices."""

import jax
import pytest
import toy

from qcs_jax.system.errors import UserError
from qcs_jax.train.run import Run


@pytest.fixture(autouse=True)
def toy_world(monkeypatch):
    toy.install(monkeypatch)


def test_epochs_are_whole_batches_of_anchors():
    run = Run.of(toy.config(**{"data.epoch_fraction": 0.5, "train.epochs": 3}))
    assert (run.epoch_steps, run.total_steps) == (3, 9)  # 25 anchors, 8 in a step


def test_the_network_has_the_classes_of_the_data_set():
    run = Run.of(toy.config())
    assert run.model.num_classes == len(toy.CLASSES)
    assert run.description["class_names"] == list(toy.CLASSES)


def test_a_trained_network_keeps_its_classes():
    run = Run.of(toy.config(**{"data.label_map": "by_name"}), ("glad", "other"))
    assert run.model.num_classes == 2
    assert run.splits.class_names == ("glad", "other")


def test_evaluation_does_not_mind_the_batch_of_training():
    c = toy.config(**{"train.batch_size": jax.device_count() + 1})
    with pytest.raises(UserError, match="train.batch_size=9 cannot be split"):
        Run.of(c)
    Run.of(c, trained_on=toy.CLASSES)


@pytest.mark.parametrize("extra", ["other", "other:", ":class 1", "a:x++b:"])
def test_an_extra_that_cannot_be_read(extra):
    with pytest.raises(UserError, match="data.extra: .*write DATASET:CLASS"):
        Run.of(toy.config(**{"data.extra": extra}))
