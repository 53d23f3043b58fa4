"""Checkpoints on disk, as training writes them."""

import json
import pathlib

import numpy as np
import small

from qcs_jax.checkpoint import Checkpoints, Trained
from qcs_jax.checkpoint.description import describe
from qcs_jax.config import base_config, create_model

CLASS_NAMES = ("anger", "joy", "neutral")


def run(
    workdir: pathlib.Path,
    *seeds: int,
    size: str = "tiny",
    resize: int = 52,
    trained_on: str = "toy",
    landmarks: list | None = None,
):
    """A run whose checkpoint of step i has random weights of seed i; its workdir.

    Without landmarks it is as earlier versions left it, which did not measure them.
    """
    config = base_config()
    config.model.size = size
    config.data.name = trained_on
    config.data.resize = resize
    model = create_model(config, len(CLASS_NAMES))
    description = describe(config, CLASS_NAMES, model.image_size)
    if landmarks:
        description["preprocessing"]["landmarks"] = landmarks
    with Checkpoints(workdir, keep=9, metric="accuracy") as checkpoints:
        for seed in seeds:
            variables = small.variables(model, seed)
            train = {"step": np.int32(seed), "opt_state": {}}
            checkpoints.save(seed, {**variables, "train": train}, description)
    return workdir


def evaluated(workdir: pathlib.Path, of: pathlib.Path | None = None, **told):
    """Leaves what an evaluation has told of a run's network, or of another one."""
    network = Trained.load(of or workdir, branch="base")
    measured = {"step": network.step, "fingerprint": {"network": network.digest}}
    (workdir / "metrics.json").write_text(json.dumps(measured | told))


def damage(folder: pathlib.Path):
    """Flips one bit of the largest file, where the arrays are."""
    largest = max(folder.rglob("*"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 0x10
    largest.write_bytes(data)
