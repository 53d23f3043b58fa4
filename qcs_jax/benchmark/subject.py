"""Measures the train step, and the base branch alone, on random images in memory.

What is measured are rows: `{name: number}`, with the unit in the name.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import time
from typing import Any

import jax
import ml_collections
import numpy as np

from qcs_jax import models
from qcs_jax.benchmark.programs import (
    Limits,
    Program,
    compile_twice,
    counting_device,
    empty_cache,
    memory,
    programs_of,
    speed,
    time_calls,
)
from qcs_jax.checkpoint import Trained
from qcs_jax.checkpoint.description import describe
from qcs_jax.config import create_model
from qcs_jax.models.qcs import QCS
from qcs_jax.predict.classifier import Classifier
from qcs_jax.train.run import create_optimizer, create_train_step
from qcs_jax.train.step import TrainState, TrainStep, replicate

BATCHES = (1, 8, 64)  # images in a call
STEP_FLOPS, REACHED = "GFLOP of a step, by XLA", "GFLOP/s reached"
_ONCE = Limits(steps=1, seconds=0.0)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A configuration's network and train step, whatever images there are."""

    config: ml_collections.ConfigDict
    classes: int

    @functools.cached_property
    def model(self) -> QCS:
        """The network in the precision of the configuration."""
        return create_model(self.config, self.classes)

    @property
    def images(self) -> int:
        """Images in a step."""
        return self.config.train.batch_size * self.model.branches

    def in_precision(self, dtype: str) -> Subject:
        """The same in another precision."""
        config = self.config.copy_and_resolve_references()
        config.dtype = dtype
        return Subject(config, self.classes)

    @functools.cached_property
    def shapes(self) -> Any:
        """Shapes of the variables; computes nothing."""
        return jax.eval_shape(lambda: models.init(self.model, jax.random.key(0)))

    def batch(self, devices: int) -> dict[str, np.ndarray]:
        """A random batch, divided over devices as the input pipeline does it."""
        per_device = self.config.train.batch_size // devices
        shape = devices, self.model.branches, per_device
        side = self.config.data.resize
        draw = np.random.default_rng(0).integers
        return {
            "image": draw(0, 256, (*shape, side, side, 3), np.uint8),
            "label": draw(0, self.classes, shape, np.int32),
        }

    def count(self) -> dict[str, float]:
        """Rows for XLA's count of operations in a step; compiles nothing."""
        cpu, optimizer = counting_device(), create_optimizer(self.config)
        with jax.default_device(cpu):
            step = create_train_step(self.config, self.model, optimizer, [cpu])
            create = functools.partial(TrainState.create, optimizer=optimizer)
            state = jax.eval_shape(create, self.shapes)
            programs = programs_of(step, state, self.batch(1), 0.0)
            rows = {f"GFLOP: {x.name}": x.flops() / 1e9 for x in programs}
        return {STEP_FLOPS: sum(rows.values()), **rows}

    def train(self, variables: Any, limits: Limits) -> dict[str, float]:
        """Compiles, runs and counts the train step: rows.

        An image counts once in "images/s", though SAM sees it twice; operations are of
        a step over the whole batch, `REACHED` is of all devices together.
        """
        devices, optimizer = jax.local_devices(), create_optimizer(self.config)
        flops = self.count()
        state = replicate(TrainState.create(variables, optimizer))
        batch, rate = self.batch(len(devices)), self.config.optimizer.learning_rate
        with empty_cache():
            step = create_train_step(self.config, self.model, optimizer)
            compilation, compiled = compile_twice(programs_of(step, state, batch, rate))
            seconds = _time_steps(step, state, batch, rate, limits)
        return {
            **compilation,
            **speed("step", seconds, self.images),
            **flops,
            REACHED: flops[STEP_FLOPS] / float(np.median(seconds)),
            **memory(compiled),
        }

    def infer(self, variables: Any, limits: Limits) -> dict[str, float]:
        """Times calls of `Classifier.classify`, as `qcs_jax.load` gives it: rows.

        The first call of each of `BATCHES` compiles, or reads JAX's persistent cache.
        `REACHED` is the best of them.
        """
        side, resize = self.model.image_size, self.config.data.resize
        names = tuple(f"class {i}" for i in range(self.classes))
        description = describe(self.config, names, side)
        trained = Trained(variables, description, 0, pathlib.Path(), in_file=True)
        classifier = Classifier(trained)
        with jax.default_device(counting_device()):
            image = jax.ShapeDtypeStruct((1, side, side, 3), np.float32)
            forward = jax.jit(self.model.apply)
            flops = Program("forward", forward, (self.shapes, image)).flops() / 1e9
        rows, fastest = {}, 0.0
        for batch in BATCHES:
            shape, name = (batch, resize, resize, 3), f"{batch} at a time"
            faces = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
            classify = functools.partial(classifier.classify, faces)
            with empty_cache():
                for cache in ("empty cache", "from the cache"):
                    jax.clear_caches()
                    (first,) = time_calls(classify, _ONCE)
                    rows[f"{name}: first call, {cache}, ms"] = 1e3 * first
                rows |= speed(name, time_calls(classify, limits), batch)
            fastest = max(fastest, rows[f"{name}: images/s"])
        return {
            **rows,
            "GFLOP of an image": flops,
            REACHED: flops * fastest,
            **memory(),
        }


def _time_steps(
    step: TrainStep, state: TrainState, batch: dict, rate: float, limits: Limits
) -> list[float]:
    """Seconds from the end of a step to the end of the next.

    As in training, a step is handed to the devices while the one before runs.
    """
    began = time.perf_counter()
    for _ in range(2):  # one loads the programs, one is the first to meet its results
        state, reports = step(state, batch, rate)
        jax.block_until_ready((state, reports))
        if limits.reached(0, began):  # too slow to take another
            break
    ends = [time.perf_counter()]
    state, reports = step(state, batch, rate)
    while not limits.reached(len(ends), began):
        state, ahead = step(state, batch, rate)
        jax.block_until_ready(reports)
        ends.append(time.perf_counter())
        reports = ahead
    jax.block_until_ready((state, reports))
    ends.append(time.perf_counter())
    return np.diff(ends).tolist()
