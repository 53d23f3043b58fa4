"""What a run has in common with the description of a checkpoint."""

import functools
import importlib.metadata
import re
import sys

import pytest

from qcs_jax.checkpoint.description import (
    check_known,
    check_same_start,
    describe,
    differences,
)
from qcs_jax.config import base_config
from qcs_jax.system.errors import UserError


def description(**data):
    c = base_config()
    c.data.update({"name": "toy", **data})
    return describe(c, ("a", "b"), 224)


def test_what_was_not_there_yet_had_its_default_and_what_is_is_known():
    before = description()
    fields = before["config"]
    del fields["data"]["val_split"], fields["augment"]["erase_area"]  # a tuple
    assert differences(before, description()) == []
    check_same_start("runs/x", before, description())
    check_known("runs/x", before, [])
    changed = description(val_split="validation")
    assert differences(before, changed) == [("data.val_split", "", "validation")]
    with pytest.raises(
        UserError, match="data.val_split is '' there, 'validation' here"
    ):
        check_same_start("runs/x", before, changed)
    of_an_ablation = "params/cross/head/bias"
    check_known("runs/x", description(), ["params/base/vit/head/bias", of_an_ablation])
    with pytest.raises(UserError, match="know the array params/base/crown"):
        check_known("runs/x", description(), ["params/base/crown"])


@pytest.mark.parametrize(
    "field, value, unknown",
    [
        ("news", 1, "the field news"),
        ("model.wings", 2, "the field model.wings"),
        ("model.name", "octs", "model.name='octs'"),
        ("dtype", "float8", "dtype='float8'"),
    ],
)
def test_what_only_a_newer_version_knows(field, value, unknown):
    newer = description()
    *sections, key = field.split(".")
    functools.reduce(dict.get, sections, newer["config"])[key] = value
    newer["versions"] |= {"qcs_jax": "9.1.0", "commit": "1a2b3c" + 34 * "0"}
    here = re.escape(importlib.metadata.version("qcs_jax"))
    message = "written by qcs_jax 9.1.0, commit 1a2b3c000000; this is qcs_jax"
    with pytest.raises(UserError, match=f"{message} {here}.* know {unknown}: update"):
        check_known("runs/x", newer, [])


def without(missing):
    content = description()
    *sections, key = missing.split(".")
    del functools.reduce(dict.get, sections, content)[key]
    return content


MISSING = ("config", "class_names", "preprocessing", "config.model.name", "config.seed")


@pytest.mark.parametrize(
    "content", [*map(without, MISSING), None, [], {}, "text", {"config": "text"}]
)
def test_a_description_of_something_else(content):
    with pytest.raises(UserError, match="damaged, or not written by qcs_jax"):
        check_known("runs/x", content, [])


@pytest.mark.parametrize(
    "words, expected",
    [
        (["/a/python", "-m", "qcs_jax.main", "--config=x y"], "python -m qcs_jax.main"),
        (["/a/python", "/b/bin/qcs-jax", "train", "--config=x y"], "qcs-jax train"),
    ],
)
def test_it_names_the_command_but_not_where_it_is(monkeypatch, words, expected):
    monkeypatch.setattr(sys, "orig_argv", words)
    assert description()["command"] == f"{expected} '--config=x y'"
