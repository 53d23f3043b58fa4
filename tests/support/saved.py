"""Checkpoints on disk, as training writes them."""

import pathlib

import numpy as np
import small

from qcs_jax.checkpoint import Checkpoints
from qcs_jax.checkpoint.description import describe
from qcs_jax.config import base_config
from qcs_jax.config.network import create_model

CLASS_NAMES = ("anger", "joy", "neutral")


def run(
    workdir: pathlib.Path,
    *seeds: int,
    size: str = "tiny",
    resize: int = 52,
    trained_on: str = "toy",
):
    """A run whose checkpoint of step i has random weights of seed i; its workdir."""
    config = base_config()
    config.model.size = size
    config.data.name = trained_on
    config.data.resize = resize
    model = create_model(config, len(CLASS_NAMES))
    description = describe(config, CLASS_NAMES, model.image_size)
    with Checkpoints(workdir, keep=9, metric="accuracy") as checkpoints:
        for seed in seeds:
            variables = small.variables(model, seed)
            train = {"step": np.int32(seed), "opt_state": {}}
            checkpoints.save(seed, {**variables, "train": train}, description)
    return workdir
