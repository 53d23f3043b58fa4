"""What a run has in common with the description of a checkpoint."""

import sys

import pytest

from qcs_jax.checkpoint.description import check_same_data, describe, differences
from qcs_jax.config import base_config
from qcs_jax.system.errors import UserError


def description(**data):
    c = base_config()
    c.data.update({"name": "toy", **data})
    return describe(c, ("a", "b"), 224)


def older(found):
    """As a version without `data.val_split` wrote it."""
    del found["config"]["data"]["val_split"]
    return found


def test_a_field_that_did_not_exist_yet_had_its_default():
    before = older(description())
    assert differences(before, description()) == []
    check_same_data("runs/x", before, description())
    changed = description(val_split="validation")
    assert differences(before, changed) == [("data.val_split", "", "validation")]
    with pytest.raises(UserError, match="data.val_split was '', is now 'validation'"):
        check_same_data("runs/x", before, changed)


@pytest.mark.parametrize(
    "words,told",
    [
        (["/a/python", "-m", "qcs_jax.main", "--config=x y"], "python -m qcs_jax.main"),
        (["/a/python", "/b/bin/qcs-jax", "train", "--config=x y"], "qcs-jax train"),
    ],
)
def test_it_names_the_command_but_not_where_it_is(monkeypatch, words, told):
    monkeypatch.setattr(sys, "orig_argv", words)
    description = describe(base_config(), ("a", "b"), 48)
    assert description["command"] == f"{told} '--config=x y'"
