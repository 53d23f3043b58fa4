"""What a configuration does to its data before the network sees it."""

import dataclasses

import memory_source
import numpy as np
import pytest

from qcs_jax.config import base_config
from qcs_jax.input import sources
from qcs_jax.input.splits import Splits
from qcs_jax.system.errors import UserError

LABELS = {"train": [0, 1, 2] * 20, "test": [0, 1, 2, 2], "valid": [0, 1, 1, 2, 2]}


@pytest.fixture(autouse=True)
def in_memory(monkeypatch):
    def open_split(name, split, directory):
        source = memory_source.create(LABELS[split])
        return dataclasses.replace(source, name=name, split=split)

    monkeypatch.setattr(sources, "open_split", open_split)


def splits(class_names=None, **data):
    c = base_config()
    c.data.name = "toy"
    c.data.update(data)
    return Splits(c, class_names=class_names)


def test_what_is_done_to_training_is_told():
    plain = splits()
    assert (len(plain.train), len(plain.test)) == (60, 4)
    assert plain.class_names == ("class 0", "class 1", "class 2")
    assert plain.train.notes == plain.test.notes == ()
    spoiled = splits(extra="other:class 1", train_fraction=0.5, label_noise=0.1)
    assert len(spoiled.train) == 40
    assert spoiled.train.notes == (
        "20 images of other added to training",
        "training on 40 images",
        "4 of 40 training labels are wrong",
    )
    honest = splits(extra="other:class 1", train_fraction=0.5)
    assert (honest.train.labels != spoiled.train.labels).sum() == 4
    assert len(spoiled.test) == 4


def test_held_out_images_are_told_and_never_trained_on():
    plain = splits(val_fraction=0.1)
    assert sorted(plain.held_out.labels) == [0, 0, 1, 1, 2, 2]
    assert len(plain.train) == 54
    assert plain.held_out.notes == ("6 of 60 training images held out",)
    ids = [s.ids(range(len(s))) for s in (plain.train, plain.held_out)]
    assert not set(ids[0]) & set(ids[1])
    assert splits().held_out is None
    # They are no better labelled than the others, and none are added.
    plain = splits(val_fraction=0.5)
    spoiled = splits(val_fraction=0.5, label_noise=0.2, extra="other:class 1")
    wrong = spoiled.held_out.labels != plain.held_out.labels
    assert wrong.sum() == 6 and len(wrong) == 30
    assert len(spoiled.train) == 50


def test_a_split_of_the_data_set_may_choose_the_epoch():
    found = splits(val_split="valid")
    assert (len(found.train), len(found.held_out), len(found.test)) == (60, 5, 4)
    assert found.held_out.notes == ("5 images of split 'valid' choose the epoch",)
    [note] = splits(val_split="test").held_out.notes
    assert note.endswith("are those of the test: its numbers are optimistic")
    noisy = splits(val_split="valid", label_noise=0.4).held_out
    assert np.sum(noisy.labels != found.held_out.labels) == 2


def test_another_data_set_is_tested_by_an_explicit_map(tmp_path):
    crossed = splits(("class 2", "other"), label_map="by_name")
    assert crossed.class_names == ("class 2", "other")
    np.testing.assert_array_equal(crossed.test.labels, [0, 0])
    assert crossed.test.notes == (
        "testing on 2 of 4 images",
        "left out: class 0 (1 image), class 1 (1 image)",
        "no image is of other: such an answer is wrong",
    )
    crossed = splits(("a", "b"), label_map="class 0=b,class 1=a,class 2=a").test
    assert crossed.notes == (
        "class 0 counts as b, class 1 counts as a, class 2 counts as a",
    )
    (tmp_path / "list.txt").write_text("train/0.png\ntrain/3.png\n")
    listed = splits(test_list=str(tmp_path / "list.txt")).test
    np.testing.assert_array_equal(listed.labels, [0, 2])
    assert listed.notes == ("testing on 2 of 4 images",)
    with pytest.raises(UserError, match="'joy' in 'joy=joy' is none of class 0"):
        _ = splits(extra="other:joy").train
    with pytest.raises(UserError, match="which has class 0, class 1, class 2; the net"):
        _ = splits(("joy", "fear"), label_map="by_name").test


def test_extra_images_are_not_those_of_the_data_set_itself():
    """Or held-out ones would come back into training."""
    same = (("toy", "toy"), ("affectnet/7", "affectnet/8"), ("fer2013", "ferplus"))
    for name, other in same:
        with pytest.raises(UserError, match=f"has the images of {name} itself"):
            _ = splits(name=name, extra=f"{other}:class 1").train
    two = splits(name="image_folder/a", extra="image_folder/b:class 1")
    assert len(two.train) == 80
