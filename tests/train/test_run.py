"""What a configuration does to its data before the network sees it."""

import dataclasses

import jax
import memory_source
import numpy as np
import pytest

from qcs_jax.config import base_config
from qcs_jax.input import sources
from qcs_jax.system.errors import UserError
from qcs_jax.train.run import Run

LABELS = {"train": [0, 1, 2] * 20, "test": [0, 1, 2, 2]}


@pytest.fixture(autouse=True)
def in_memory(monkeypatch):
    monkeypatch.setattr(
        sources,
        "open_split",
        lambda name, split, dir: dataclasses.replace(
            memory_source.create(LABELS[split]), name=name
        ),
    )


def run(trained_on=None, **data):
    c = base_config()
    c.data.name = "toy"
    c.data.resize = 48
    c.model.size = "tiny"
    c.train.batch_size = 8
    c.data.update(data)
    return Run(c, trained_on)


def test_data_are_left_alone_by_default():
    plain = run()
    assert (len(plain.train_source), len(plain.test_source)) == (60, 4)
    assert plain.class_names == ("class 0", "class 1", "class 2")
    assert plain.notes == []


def test_what_is_done_to_training_is_told():
    spoiled = run(extra="other:class 1", train_fraction=0.5, label_noise=0.1)
    assert len(spoiled.train_source) == 40
    assert spoiled.notes == [
        "20 images of other added to training",
        "training on 40 images",
        "4 of 40 training labels are wrong",
    ]
    honest = run(extra="other:class 1", train_fraction=0.5)
    assert (honest.train_source.labels != spoiled.train_source.labels).sum() == 4
    assert len(spoiled.test_source) == 4


def test_held_out_images_are_told_and_never_trained_on():
    plain = run(val_fraction=0.1)
    assert sorted(plain.held_out_source.labels) == [0, 0, 1, 1, 2, 2]
    assert len(plain.train_source) == 54
    assert plain.notes == ["6 of 60 training images held out"]
    ids = [s.ids(range(len(s))) for s in (plain.train_source, plain.held_out_source)]
    assert not set(ids[0]) & set(ids[1])
    assert run().held_out_source is None


def test_held_out_images_are_no_better_labelled_and_none_are_added():
    spoiled = run(val_fraction=0.5, label_noise=0.2, extra="other:class 1")
    plain = run(val_fraction=0.5)
    wrong = spoiled.held_out_source.labels != plain.held_out_source.labels
    assert wrong.sum() == 6 and len(wrong) == 30
    assert len(spoiled.train_source) == 50


def test_wrong_labels_depend_on_the_seed_alone():
    first, second = (run(label_noise=0.2).train_source.labels for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_another_data_set_is_tested_by_an_explicit_map():
    crossed = run(("class 2", "other"), label_map="by_name")
    assert crossed.class_names == ("class 2", "other")
    np.testing.assert_array_equal(crossed.test_source.labels, [0, 0])
    assert crossed.model.num_classes == 2
    assert crossed.notes == ["testing on 2 of 4 images"]


def test_a_test_list_comes_before_the_map(tmp_path):
    (tmp_path / "list.txt").write_text("train/0.png\ntrain/3.png\n")
    listed = run(test_list=str(tmp_path / "list.txt"))
    np.testing.assert_array_equal(listed.test_source.labels, [0, 2])
    assert listed.notes == ["testing on 2 of 4 images"]


def test_an_extra_class_that_does_not_exist():
    with pytest.raises(UserError, match="'joy' in 'joy=joy' is none of class 0"):
        _ = run(extra="other:joy").train_source


@pytest.mark.parametrize("name", ["toy", "affectnet/7", "synthetic_faces/biased"])
def test_extra_images_are_not_those_of_the_data_set_itself(name):
    """Or held-out ones would come back into training."""
    same = {"affectnet/7": "affectnet/8", "synthetic_faces/biased": "synthetic_faces/x"}
    c = run().config
    c.data.name, c.data.extra = name, f"{same.get(name, name)}:class 1"
    with pytest.raises(UserError, match=f"has the images of {name} itself"):
        _ = Run(c).train_source


def test_another_folder_is_another_data_set():
    c = run().config
    c.data.name, c.data.extra = "image_folder/a", "image_folder/b:class 1"
    assert len(Run(c).train_source) == 80


def test_evaluation_does_not_mind_the_batch_of_training():
    c = run().config
    c.train.batch_size = jax.device_count() + 1
    with pytest.raises(UserError, match="train.batch_size=9 cannot be split"):
        Run(c)
    Run(c, trained_on=("class 0", "class 1", "class 2"))


@pytest.mark.parametrize("extra", ["other", "other:", ":class 1", "a:x++b:"])
def test_an_extra_that_cannot_be_read(extra):
    with pytest.raises(UserError, match="data.extra: .*write DATASET:CLASS"):
        run(extra=extra)
