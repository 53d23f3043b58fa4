"""What a run has in common with the description of a checkpoint."""

import functools
import importlib.metadata
import sys

import pytest

from qcs_jax.checkpoint.description import (
    check_known,
    check_same_data,
    describe,
    differences,
)
from qcs_jax.config import base_config
from qcs_jax.system.errors import UserError


def description(**data):
    c = base_config()
    c.data.update({"name": "toy", **data})
    return describe(c, ("a", "b"), 224)


def older(found):
    """As a version without these fields wrote it; JSON has no tuples."""
    del found["config"]["data"]["val_split"], found["config"]["augment"]["erase_area"]
    return found


def test_a_field_that_did_not_exist_yet_had_its_default():
    before = older(description())
    assert differences(before, description()) == []
    check_same_data("runs/x", before, description())
    check_known("runs/x", before, [])
    changed = description(val_split="validation")
    assert differences(before, changed) == [("data.val_split", "", "validation")]
    with pytest.raises(UserError, match="data.val_split was '', is now 'validation'"):
        check_same_data("runs/x", before, changed)


def changed(field, value):
    section, _, key = field.rpartition(".")
    found = description()
    (found["config"][section] if section else found["config"])[key] = value
    return found


@pytest.mark.parametrize(
    "field, value, unknown",
    [
        ("news", 1, "the field news"),
        ("model.wings", 2, "the field model.wings"),
        ("model.name", "octs", "model.name='octs'"),
        ("model.size", "huge", "model.size='huge'"),
        ("dtype", "float8", "dtype='float8'"),
    ],
)
def test_what_only_a_newer_version_knows(field, value, unknown):
    newer = changed(field, value)
    newer["versions"] |= {"qcs_jax": "9.1.0", "commit": "1a2b3c" + 34 * "0"}
    with pytest.raises(UserError) as raised:
        check_known("runs/x", newer, [])
    here = importlib.metadata.version("qcs_jax")
    told = str(raised.value)
    assert told.startswith(
        f"runs/x was written by qcs_jax 9.1.0, commit 1a2b3c000000; this is qcs_jax "
        f"{here}"
    )
    assert f"does not know {unknown}: update qcs_jax" in told


def test_arrays_that_a_network_has_are_known():
    check_known("runs/x", description(), ["params/base/vit/head/bias"])
    check_known("runs/x", description(), ["params/cross/head/bias"])  # of an ablation
    with pytest.raises(UserError, match="know the array params/base/crown"):
        check_known("runs/x", description(), ["params/base/crown"])


@pytest.mark.parametrize(
    "missing",
    ["config", "class_names", "preprocessing", "config.model.name", "config.seed"],
)
def test_a_description_of_something_else(missing):
    found = description()
    *sections, key = missing.split(".")
    del functools.reduce(dict.get, sections, found)[key]
    with pytest.raises(UserError, match="does not say which network it is of"):
        check_known("runs/x", found, [])


@pytest.mark.parametrize("found", [None, [], {}, "text", {"config": "text"}])
def test_no_description_at_all(found):
    with pytest.raises(UserError, match="is damaged, or not written by qcs_jax"):
        check_known("runs/x", found, [])


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
