"""How long calls take; the programs of a train step, and how long they compile."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from qcs_jax.system.errors import UserError
from qcs_jax.train.step import TrainState, TrainStep


@dataclasses.dataclass(frozen=True)
class Limits:
    """When enough has been measured: after so many steps, or so much time."""

    steps: int
    seconds: float

    def reached(self, steps: int, began: float) -> bool:
        """Whether to stop after `steps` since `began` (`time.perf_counter`)."""
        return steps >= self.steps or time.perf_counter() - began > self.seconds


def speed(seconds: Sequence[float], images: int) -> dict[str, float]:
    """Summarises the seconds of steps, or of calls, that see `images` each."""
    p10, median, p90 = map(float, np.percentile(seconds, (10, 50, 90)))
    return {
        "steps": len(seconds),
        "median": median,
        "p10": p10,
        "p90": p90,
        "images": images,
        "images_per_second": images / median,
    }


def time_calls(call: Callable[[], object], limits: Limits) -> list[float]:
    """Returns the seconds of each call; `call` returns when its work is done."""
    seconds: list[float] = []
    began = time.perf_counter()
    while not (seconds and limits.reached(len(seconds), began)):
        before = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - before)
    return seconds


@dataclasses.dataclass(frozen=True)
class Program:
    """A jitted function and its arguments, or their shapes.

    A step makes `calls` calls of it. Each device does its part if it is `divided`, else
    all of them do the same.
    """

    name: str
    function: Callable
    args: tuple
    calls: int = 1
    divided: bool = True

    def lower(self) -> jax.stages.Lowered:
        """Traces it."""
        return self.function.lower(*self.args)  # type: ignore[attr-defined]

    def result(self) -> Any:
        """Shapes of what it returns."""
        return jax.eval_shape(self.function, *self.args)

    def flops(self) -> float:
        """XLA's count for the calls of a step, before anything is optimised.

        The count of what was compiled would leave out the calls of libraries, which
        on a GPU are all that matters.
        """
        cost: Any = self.lower().cost_analysis()  # on the `counting_device`
        return self.calls * cost["flops"]


def counting_device() -> jax.Device:
    """The CPU: plugins of GPUs and TPUs do not count what is not compiled."""
    try:
        return jax.devices("cpu")[0]
    except RuntimeError as error:
        raise UserError(
            "operations are counted on a CPU, which JAX was told to do without: add "
            "it to the others, as in JAX_PLATFORMS=cuda,cpu"
        ) from error


def programs_of(
    step: TrainStep, state: TrainState, batch: dict, learning_rate: float
) -> list[Program]:
    """Returns the programs that a step calls with these, or with shapes, in order."""
    drawn = step.seed, state.step, batch["image"]
    images, key, _ = jax.eval_shape(step.prepare, *drawn)

    def gradient(name: str, number: int, params: Any, calls: int) -> Program:
        inputs = images, batch["label"], key, np.int32(number)
        args = (params, state.batch_stats, *inputs)
        return Program(name, step.gradients[number], args, calls)

    climbs, shared = step.optimizer.rho > 0, step.gradients[0] is step.gradients[1]
    last = gradient("gradient", 0, state.params, 2 if climbs and shared else 1)
    programs = [Program("prepare", step.prepare, drawn), last]
    if climbs:
        args = (state.params, last.result()[0])
        programs.append(Program("climb", step.climb, args, divided=False))
        if not shared:
            last = gradient("second gradient", 1, programs[-1].result(), 1)
            programs.append(last)
    final = (state.params, state.opt_state, last.result()[0], learning_rate)
    return [*programs, Program("update", step.update, final, divided=False)]


def compile_twice(
    programs: Sequence[Program],
) -> tuple[dict[str, float], list[jax.stages.Compiled]]:
    """Compiles with an empty cache, forgets all, and compiles from the cache.

    Call it inside `empty_cache`; what is run afterwards is read from there, too.

    Returns seconds of all programs, to "trace" them and in XLA, with nothing kept
    ("cold") and from the cache ("cached"); and what was compiled.
    """
    seconds: dict[str, float] = {}
    for cache in ("cold", "cached"):
        jax.clear_caches()
        began = time.perf_counter()
        lowered = [program.lower() for program in programs]
        traced = time.perf_counter()
        compiled = [x.compile() for x in lowered]
        seconds |= {"trace": traced - began, cache: time.perf_counter() - traced}
    return seconds, compiled


@contextlib.contextmanager
def empty_cache() -> Iterator[str]:
    """Inside, JAX keeps every compiled program in a new folder; yields its path."""
    config: Any = jax.config
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "jax_enable_compilation_cache": True,
            "jax_compilation_cache_dir": folder,
            "jax_persistent_cache_min_compile_time_secs": 0.0,
            "jax_persistent_cache_min_entry_size_bytes": -1,
        }
        before = {name: getattr(config, name) for name in settings}
        jax.clear_caches()
        try:
            _apply(settings)
            yield folder
        finally:
            _apply(before)


def _apply(settings: dict[str, Any]) -> None:
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # JAX looks at the folder once
