"""A run that nobody has trained, with what figures and the page are made of."""

import json

import numpy as np
import pytest
import saved
import small
import toy

from qcs_jax.checkpoint.description import describe
from qcs_jax.checkpoint.saving import Checkpoints
from qcs_jax.config import create_model


def write(workdir, class_names=toy.CLASSES, **fields):
    """Random weights after the two epochs of `toy.config(**fields)`, and a log."""
    config = toy.config(**fields)
    model = create_model(config, len(class_names))
    items = {**small.variables(model), "train": {"step": np.int32(20)}}
    with Checkpoints(workdir, keep=1, metric="accuracy") as checkpoints:
        checkpoints.save(20, items, describe(config, class_names, model.image_size))
    lines = [{"step": 5, "kind": "train", "base_loss": 2.0, "cross_loss": 1.0}]
    for epoch in (1, 2):
        for kind in ("held_out", "test"):
            lines.append(saved.line(kind, epoch, 0.5 / epoch) | {"nll": 1.0})
    (workdir / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return workdir


@pytest.fixture(scope="session")
def write_run():
    return write
