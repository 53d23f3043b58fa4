"""Data on which distances are 0 and means are of one: training stays finite."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
import toy

from qcs_jax import models
from qcs_jax.config import create_model
from qcs_jax.input import pipeline, sources
from qcs_jax.input.pipeline import Topology
from qcs_jax.input.sampling import Draw, LabelIndex
from qcs_jax.train.run import create_optimizer, create_train_step
from qcs_jax.train.step import TrainState
from qcs_jax.train.writer import check_finite, scalars_of

STEPS = 3
EVEN = [0, 1, 2] * 4
# The labels of the images, and what they show: -1 is black, others are seeds.
DATA = {
    "all the same": (EVEN, itertools.repeat(5)),
    "all black": (EVEN, itertools.repeat(-1)),
    "a class with one image": ([0, *[1, 2] * 5], itertools.count()),
    "one image in every class": ([0, 1, 2], itertools.count()),
}


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    monkeypatch.setitem(models.SIZES, "tiny", small.SIZES)


def source(labels, shown):
    records = toy.Records()
    for label, seed in zip(labels, shown, strict=False):
        pixels = small.pixels(36, 36, 3, seed=abs(seed)) * np.uint8(seed >= 0)
        image = small.encode(small.Image.fromarray(pixels))
        records.append({"image": image, "label": label, "id": "x"})
    labels = np.asarray(labels, np.int32)
    return sources.Source("numbers", "train", records, labels, toy.CLASSES)


@functools.cache
def trainer(batch_size, dtype):
    """A network and its step on one device, compiled once for all data."""
    config = toy.config(**{"model.name": "qcs", "dtype": dtype})
    model, optimizer = create_model(config, 3), create_optimizer(config)
    variables = jax.device_get(models.init(model, jax.random.key(0)))
    step = create_train_step(config, model, optimizer, jax.devices()[:1])
    return model, step, TrainState.create(variables, optimizer)


def train(train_on, batch_size, dtype):
    """Takes a few steps; returns the parameters before and after."""
    model, step, state = trainer(batch_size, dtype)
    state = jax.tree.map(jnp.copy, state)  # the first step donates it
    before = jax.device_get(state.params)
    batches = pipeline.train_batches(
        train_on,
        Draw(LabelIndex(train_on.labels, 3), model.branches, "shuffled", "by_image"),
        batch_size=batch_size,
        side=36,
        seed=0,
        topology=Topology(1, 0, 1),
    )
    for i in range(STEPS):
        state, reports = step(state, batches[i], 1e-3)
        check_finite(scalars_of(reports))
    return before, jax.device_get(state.params)


# The second is the harder one: statistics of one image, in half precision.
@pytest.mark.parametrize("batch_size, dtype", [(3, "float32"), (1, "bfloat16")])
@pytest.mark.parametrize("data", DATA)
@pytest.mark.filterwarnings("ignore:.*have one image each")
def test_training_stays_finite(data, batch_size, dtype):
    with jax.numpy_dtype_promotion("standard"):  # Flax's norms need it for bfloat16
        before, after = train(source(*DATA[data]), batch_size, dtype)
    for x in jax.tree.leaves(after):
        assert np.isfinite(x).all()
    moved = jax.tree.map(lambda old, new: np.any(old != new), before, after)
    assert all(jax.tree.leaves(moved["base"]["vit"]["head"]))
