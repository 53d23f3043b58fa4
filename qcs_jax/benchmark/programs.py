"""Programs: how long they compile and run, their operations and their memory."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from qcs_jax.system.errors import UserError
from qcs_jax.train.step import TrainState, TrainStep

_SIDE = 8192  # of the matrices; a twentieth of a second where 20 TFLOP/s are reached
_SIDE_ON_CPU = 2048
_PART = 16  # of the memory that one matrix may take
_AT_ONCE = 4  # products in a row hide what it costs to start one


@dataclasses.dataclass(frozen=True)
class Limits:
    """When enough has been measured: after so many steps, or so much time."""

    steps: int
    seconds: float

    def reached(self, steps: int, began: float) -> bool:
        """Whether to stop after `steps` since `began` (`time.perf_counter`)."""
        return steps >= self.steps or time.perf_counter() - began > self.seconds


def speed(name: str, seconds: Sequence[float], images: int) -> dict[str, float]:
    """Rows for the seconds of steps, or of calls, that see `images` each."""
    p10, median, p90 = map(float, np.percentile(seconds, (10, 50, 90)))
    return {
        f"{name}: times measured": len(seconds),
        f"{name}: median, ms": 1e3 * median,
        f"{name}: 10th percentile, ms": 1e3 * p10,
        f"{name}: 90th percentile, ms": 1e3 * p90,
        f"{name}: images/s": images / median,
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
    """A jitted function and its arguments, or their shapes; `calls` in a step."""

    name: str
    function: Callable
    args: tuple
    calls: int = 1

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

    def noted(name: str, function: Callable) -> Callable:
        def call(*args: Any) -> Any:
            if function in programs:
                programs[function].calls += 1
            else:
                programs[function] = Program(name, function, args)
            return jax.eval_shape(function, *args)

        return call

    first, second = step.gradients
    noting = dataclasses.replace(
        step,
        prepare=noted("prepare", step.prepare),
        gradients=(noted("gradient", first), noted("second gradient", second)),
        climb=noted("climb", step.climb),
        update=noted("update", step.update),
    )
    noting(state, batch, learning_rate)
    return list(programs.values())


def compile_twice(
    programs: Sequence[Program],
) -> tuple[dict[str, float], list[jax.stages.Compiled]]:
    """Compiles with an empty cache, forgets all, and compiles from the cache.

    Call it inside `empty_cache`; what is run afterwards is read from there, too.

    Returns rows for all programs together, and what was compiled.
    """
    rows: dict[str, float] = {}
    for cache in ("empty cache", "from the cache"):
        jax.clear_caches()
        began = time.perf_counter()
        lowered = [program.lower() for program in programs]
        traced = time.perf_counter()
        compiled = [x.compile() for x in lowered]
        rows["compile: trace, ms"] = 1e3 * (traced - began)
        rows[f"compile: XLA, {cache}, ms"] = 1e3 * (time.perf_counter() - traced)
    return rows, compiled


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


def memory(compiled: Sequence[jax.stages.Compiled] = ()) -> dict[str, float]:
    """Rows for the most memory that was in use, without what nothing counts here.

    The peak is on one device, by its own count since the process began; that of the
    largest program on one device, by XLA's plan; RSS on the host, by this process.
    """
    peaks = [
        stats["peak_bytes_in_use"]
        for device in jax.local_devices()
        if (stats := device.memory_stats()) and "peak_bytes_in_use" in stats
    ]
    plans = [_planned(x) for program in compiled if (x := program.memory_analysis())]
    rows = {
        "memory: peak, by the device, MB": max(peaks, default=None),
        "memory: largest program, XLA, MB": max(plans, default=None),
        "memory: peak of the process, RSS, MB": _resident(),
    }
    return {name: x / 1e6 for name, x in rows.items() if x is not None}


def _planned(plan: Any) -> int:
    used = plan.argument_size_in_bytes + plan.output_size_in_bytes
    return used - plan.alias_size_in_bytes + plan.temp_size_in_bytes


def _resident() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def matmul_peak(dtype: str, devices: Sequence[jax.Device]) -> float:
    """FLOP/s of all devices together in products of square matrices, the best of three.

    A product is `2 side^3`: what a step could reach at best.
    """
    side, count = _side(dtype, devices), len(devices)
    multiply = jax.pmap(jnp.matmul, devices=devices)
    draw = functools.partial(jax.random.normal, shape=(side, side), dtype=dtype)
    # Not of zeros: a GPU that switches fewer bits may raise its clock.
    x = jax.pmap(draw, devices=devices)(jax.random.split(jax.random.key(0), count))

    def call():
        for _ in range(_AT_ONCE):
            y = multiply(x, x)
        jax.block_until_ready(y)

    call()
    seconds = min(time_calls(call, Limits(steps=3, seconds=2.0)))
    return _AT_ONCE * count * 2 * side**3 / seconds


def _side(dtype: str, devices: Sequence[jax.Device]) -> int:
    """The side of matrices that fit a device beside what is there."""
    first = devices[0]
    if first.platform == "cpu":  # whose "devices" may share a few cores
        return max(_SIDE_ON_CPU // len(devices), 256)
    side, limit = _SIDE, (first.memory_stats() or {}).get("bytes_limit")
    while limit and side**2 * jnp.dtype(dtype).itemsize > limit / _PART:
        side //= 2
    return side
