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


@dataclasses.dataclass
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
    """Returns the programs that a step calls with these, or with shapes, in order.

    The step runs with functions that note their arguments, and give shapes alone.
    """
    programs: dict[Callable, Program] = {}

    def noted(name: str, function: Callable, divided: bool = True) -> Callable:
        def call(*args: Any) -> Any:
            if function in programs:
                programs[function].calls += 1
            else:
                programs[function] = Program(name, function, args, divided=divided)
            return jax.eval_shape(function, *args)

        return call

    first, second = step.gradients
    noting = dataclasses.replace(
        step,
        prepare=noted("prepare", step.prepare),
        gradients=(noted("gradient", first), noted("second gradient", second)),
        climb=noted("climb", step.climb, divided=False),
        update=noted("update", step.update, divided=False),
    )
    noting(state, batch, learning_rate)
    return list(programs.values())


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
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as after:
        settings = {
            "jax_enable_compilation_cache": True,
            "jax_compilation_cache_dir": folder,
            "jax_persistent_cache_min_compile_time_secs": 0.0,
            "jax_persistent_cache_min_entry_size_bytes": -1,
        }
        jax.clear_caches()
        after.callback(compilation_cache.reset_cache)
        for name, value in settings.items():
            after.callback(config.update, name, getattr(config, name))
            config.update(name, value)
        compilation_cache.reset_cache()  # JAX looks at the folder once
        yield folder
