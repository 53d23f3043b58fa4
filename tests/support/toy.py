"""A world in which a run takes seconds: a data set in memory and a small network."""

import dataclasses
import functools
import json

import numpy as np
import small
from memory_source import Records
from PIL import Image

from qcs_jax import models
from qcs_jax.config import base_config
from qcs_jax.evaluate import predictions
from qcs_jax.input import sources
from qcs_jax.train import evaluate, initialize, loop, run, step

CLASSES = ("calm", "glad", "sad")
SIZES = {"train": 50, "test": 21}
HELD_OUT = {"data.val_fraction": 0.2}


def source(split):
    """A split of 36x36 images whose classes differ in brightness."""
    rng = np.random.default_rng(len(split))
    labels = np.arange(SIZES[split], dtype=np.int32) % len(CLASSES)
    records = Records()
    for i, label in enumerate(labels):
        pixels = rng.integers(0, 60, (36, 36, 3)) + 60 * label
        buffer = small.encode(Image.fromarray(pixels.astype(np.uint8)))
        records.append({"image": buffer, "label": label, "id": f"{split}/{i}"})
    return sources.Source("toy", split, records, labels, CLASSES)


STEPS = {}
eval_step = functools.cache(step.make_eval_step)


def train_step(config, model, optimizer):
    """`run.create_train_step`, with the programs of a run before where it may."""
    c = config
    key = model, c.train.remat, str(c.loss), str(c.augment), str(c.optimizer)
    if key not in STEPS:
        STEPS[key] = run.create_train_step(config, model, optimizer)
    return dataclasses.replace(STEPS[key], seed=step.seed_data(config.seed))


def install(monkeypatch):
    """A small network under the name "tiny", and the data set under any name.

    Nobody looks for faces in its images: there are none, and it takes seconds. Tracing
    a step takes seconds, too, so all runs of a process have one.
    """
    monkeypatch.setattr(loop, "create_train_step", train_step)
    for module in (loop, evaluate):
        monkeypatch.setattr(module, "make_eval_step", eval_step)
    splits = {split: source(split) for split in SIZES}
    monkeypatch.setattr(sources, "open_split", lambda name, split, dir: splits[split])
    told = {"name": "toy", "version": "1.0.0", "description": "Grey squares."}
    monkeypatch.setattr(sources, "card", lambda name, dir: told)
    monkeypatch.setitem(models.SIZES, "tiny", small.SIZES)
    monkeypatch.setattr(initialize, "template_of", lambda faces: None)


def config(**overrides):
    """Two epochs of six steps with the baseline."""
    c = base_config()
    c.name = "toy"
    c.data.name = "toy"
    c.data.resize = 36
    c.model.name = "baseline"
    c.model.size = "tiny"
    c.optimizer.learning_rate = 1e-3
    c.train.epochs = 2
    c.train.batch_size = 8
    c.train.eval_batch_size = 16
    c.train.log_every = 1
    c.train.tensorboard = False
    c.update_from_flattened_dict(overrides)
    return c


def train(folder):
    """A run without and one with held-out images."""
    loop.train_and_evaluate(config(), folder / "plain")
    loop.train_and_evaluate(config(**HELD_OUT), folder / "held_out")


def written(folder):
    measured = json.loads((folder / "metrics.json").read_text())
    return measured, predictions.read(folder / "predictions.csv")
