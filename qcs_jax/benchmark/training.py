"""Measures the train step on random images in memory."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np

from qcs_jax import models
from qcs_jax.benchmark.device import MatmulPeak, Memory
from qcs_jax.benchmark.programs import (
    Compilation,
    Program,
    compile_twice,
    counting_device,
    empty_cache,
    programs_of,
)
from qcs_jax.benchmark.timing import Limits, Speed
from qcs_jax.config.network import create_model
from qcs_jax.models.qcs import QCS
from qcs_jax.train.run import create_optimizer, create_train_step
from qcs_jax.train.step import TrainState, TrainStep, replicate

# The first step loads the programs, the second is the first to meet its own results.
_WARM_UP = 2


@dataclasses.dataclass(frozen=True)
class Training:
    """What the steps of one precision took.

    Attributes:
      dtype: Precision.
      compilation: Of all programs of the step.
      speed: Of the step; an image counts once, though SAM sees it twice.
      flops: XLA's count of a step over the whole batch, by program.
      compiled_flops: Its count of the compiled programs.
      flops_per_second: Of a step, all devices together.
      memory: Most that was in use.
      matmul: What the devices reach multiplying matrices, once it is measured: it
        needs memory of its own.
    """

    dtype: str
    compilation: Compilation
    speed: Speed
    flops: dict[str, float]
    compiled_flops: float
    flops_per_second: float
    memory: Memory
    matmul: MatmulPeak | None = None


@dataclasses.dataclass(frozen=True)
class Subject:
    """A configuration's train step, whatever images there are.

    Attributes:
      config: See `base_config`.
      classes: Number of classes.
    """

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

    def of(self, dtype: str) -> Subject:
        """The same in another precision."""
        config = self.config.copy_and_resolve_references()
        config.dtype = dtype
        return Subject(config, self.classes)

    def variables(self) -> Any:
        """Fresh variables, on the host."""
        return jax.device_get(models.init(self.model, jax.random.key(0)))

    @functools.cached_property
    def shapes(self) -> Any:
        """Shapes of the variables; computes nothing."""
        return jax.eval_shape(lambda: models.init(self.model, jax.random.key(0)))

    def batch(self, devices: int, draw: Callable[..., Any]) -> dict:
        """A batch as the input pipeline makes it; `draw(high, shape, dtype)` fills."""
        c = self.config
        n, b = self.model.branches, c.train.batch_size // devices
        side = c.data.resize
        return {
            "image": draw(256, (devices, n, b, side, side, 3), np.uint8),
            "label": draw(self.classes, (devices, n, b), np.int32),
        }

    def count(self) -> dict[str, float]:
        """XLA's count of operations in a step, by program; compiles nothing."""
        device, optimizer = counting_device(), create_optimizer(self.config)
        with jax.default_device(device):
            step = create_train_step(self.config, self.model, optimizer, [device])
            create = functools.partial(TrainState.create, optimizer=optimizer)
            state = jax.eval_shape(create, self.shapes)
            batch = self.batch(1, _shape)
            programs = programs_of(step, state, batch, self._learning_rate)
            return {program.name: program.flops() for program in programs}

    @property
    def _learning_rate(self) -> float:
        return self.config.optimizer.learning_rate

    def measure(self, variables: Any, limits: Limits) -> Training:
        """Compiles, runs and counts.

        Args:
          variables: From `variables`, of any precision.
          limits: Number of steps.
        """
        devices, optimizer = jax.local_devices(), create_optimizer(self.config)
        flops = self.count()
        state = replicate(TrainState.create(variables, optimizer))
        batch = self.batch(len(devices), _draw)
        with empty_cache():
            step = create_train_step(self.config, self.model, optimizer)
            programs = programs_of(step, state, batch, self._learning_rate)
            compilation, compiled = compile_twice(programs)
            seconds = _time_steps(step, state, batch, self._learning_rate, limits)
        speed = Speed.of(seconds, self.images)
        return Training(
            dtype=self.config.dtype,
            compilation=compilation,
            speed=speed,
            flops=flops,
            compiled_flops=_flops_of(programs, compiled, len(devices)),
            flops_per_second=sum(flops.values()) / speed.median,
            memory=Memory.of(compiled),
        )


def _shape(high: int, shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def _draw(high: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, shape, dtype)


def _time_steps(
    step: TrainStep, state: TrainState, batch: dict, rate: float, limits: Limits
) -> list[float]:
    """Seconds from the end of a step to the end of the next.

    As in training, a step is handed to the devices while the one before runs.
    """
    began = time.perf_counter()
    for _ in range(_WARM_UP):
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
