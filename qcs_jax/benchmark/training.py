"""Measures the train step on random images in memory."""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import Any

import jax
import ml_collections
import numpy as np

from qcs_jax import models
from qcs_jax.benchmark import device
from qcs_jax.benchmark.programs import (
    Limits,
    Program,
    compile_twice,
    counting_device,
    empty_cache,
    programs_of,
    speed,
)
from qcs_jax.config import create_model
from qcs_jax.models.qcs import QCS
from qcs_jax.train.run import create_optimizer, create_train_step
from qcs_jax.train.step import TrainState, TrainStep, replicate


@dataclasses.dataclass(frozen=True)
class Subject:
    """A configuration's train step, whatever images there are."""

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
        """XLA's count of operations in a step, by program; compiles nothing."""
        cpu, optimizer = counting_device(), create_optimizer(self.config)
        with jax.default_device(cpu):
            step = create_train_step(self.config, self.model, optimizer, [cpu])
            create = functools.partial(TrainState.create, optimizer=optimizer)
            state = jax.eval_shape(create, self.shapes)
            programs = programs_of(step, state, self.batch(1), 0.0)
            return {program.name: program.flops() for program in programs}

    def measure(self, variables: Any, limits: Limits) -> dict[str, Any]:
        """Compiles, runs and counts.

        An image counts once in "speed", though SAM sees it twice; "flops" are of a step
        over the whole batch, by program, "flops_per_second" of all devices together.
        """
        devices, optimizer = jax.local_devices(), create_optimizer(self.config)
        flops = self.count()
        state = replicate(TrainState.create(variables, optimizer))
        batch, rate = self.batch(len(devices)), self.config.optimizer.learning_rate
        with empty_cache():
            step = create_train_step(self.config, self.model, optimizer)
            programs = programs_of(step, state, batch, rate)
            compilation, compiled = compile_twice(programs)
            seconds = _time_steps(step, state, batch, rate, limits)
        reached = speed(seconds, self.images)
        return {
            "dtype": self.config.dtype,
            "compilation": compilation,
            "speed": reached,
            "flops": flops,
            "compiled_flops": _flops_of(programs, compiled, len(devices)),
            "flops_per_second": sum(flops.values()) / reached["median"],
            "memory": device.memory(compiled),
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


def _flops_of(
    programs: list[Program], compiled: list[jax.stages.Compiled], devices: int
) -> float:
    """XLA's count of compiled programs; what all devices repeat counts once."""
    total = 0.0
    for program, executable in zip(programs, compiled, strict=True):
        flops = (executable.cost_analysis() or {}).get("flops", 0.0)
        total += flops * program.calls * (devices if program.divided else 1)
    return total
