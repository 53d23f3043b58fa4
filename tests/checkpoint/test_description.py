"""What a run has in common with the description of a checkpoint."""

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
