"""The devices: what they are, how fast they multiply, how much memory was used."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from qcs_jax.benchmark.programs import Limits, time_calls

_SIDE = 8192  # of the matrices; a twentieth of a second where 20 TFLOP/s are reached
_SIDE_ON_CPU = 2048
_PART = 16  # of the memory that one matrix may take
_AT_ONCE = 4  # products in a row hide what it costs to start one


def memory(compiled: Sequence[jax.stages.Compiled] = ()) -> dict[str, int | None]:
    """The most memory that was in use, in bytes; None where nothing counts it.

    "peak" is on one device, by its own count since the process began; "programs" on
    one device, by XLA's plan for the largest; "process" on the host, by this process.
    """
    peaks = [
        stats["peak_bytes_in_use"]
        for device in jax.local_devices()
        if (stats := device.memory_stats()) and "peak_bytes_in_use" in stats
    ]
    plans = [x for program in compiled if (x := program.memory_analysis())]
    return {
        "peak": max(peaks, default=None),
        "programs": max(map(_planned, plans), default=None),
        "process": _resident(),
    }


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


def matmul_peak(dtype: str, devices: Sequence[jax.Device]) -> dict[str, float]:
    """Multiplies square matrices on all the devices at a time, the best of a few.

    "flops_per_second" are of all devices together, `2 side^3` a product: what a step
    could reach at best.
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
    rate = _AT_ONCE * count * 2 * side**3 / seconds
    return {"side": side, "flops_per_second": rate}


def _side(dtype: str, devices: Sequence[jax.Device]) -> int:
    """The side of matrices that fit a device beside what is there."""
    first = devices[0]
    if first.platform == "cpu":  # whose "devices" may share a few cores
        return max(_SIDE_ON_CPU // len(devices), 256)
    side, limit = _SIDE, (first.memory_stats() or {}).get("bytes_limit")
    while limit and side**2 * jnp.dtype(dtype).itemsize > limit / _PART:
        side //= 2
    return side
