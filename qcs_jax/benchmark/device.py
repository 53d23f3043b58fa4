"""The devices: what they are, how fast they multiply, how much memory was used."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from qcs_jax.benchmark.timing import Limits, time_calls

_SIDE = 8192  # of the matrices; a twentieth of a second where 20 TFLOP/s are reached
_SIDE_ON_CPU = 2048
_PART = 16  # of the memory that one matrix may take
_AT_ONCE = 4  # products in a row hide what it costs to start one


@dataclasses.dataclass(frozen=True)
class Devices:
    """The local devices that a step is divided over.

    Attributes:
      platform: "cpu", "gpu" or "tpu".
      kind: What they are called.
      count: Number of them.
      jax: Version of JAX.
    """

    platform: str
    kind: str
    count: int
    jax: str

    @classmethod
    def here(cls) -> Devices:
        """Those of this process."""
        first = jax.local_devices()[0]
        return cls(
            first.platform,
            first.device_kind,
            jax.local_device_count(),
            jax.__version__,
        )


@dataclasses.dataclass(frozen=True)
class Memory:
    """The most memory that was in use.

    Attributes:
      peak: Bytes on one device, by its own count since the process began; None where
        it does not count.
      programs: Bytes on one device of the largest program, by XLA's plan: arguments,
        results and what is in between. None where there is no plan.
      process: Bytes in the memory of the host that this process has had at most.
    """

    peak: int | None
    programs: int | None
    process: int | None

    @classmethod
    def of(cls, compiled: Sequence[jax.stages.Compiled]) -> Memory:
        """After these programs have run."""
        peaks = [
            stats["peak_bytes_in_use"]
            for device in jax.local_devices()
            if (stats := device.memory_stats()) and "peak_bytes_in_use" in stats
        ]
        plans = [x for program in compiled if (x := program.memory_analysis())]
        planned = [_planned(plan) for plan in plans]
        return cls(max(peaks, default=None), max(planned, default=None), _resident())


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


@dataclasses.dataclass(frozen=True)
class MatmulPeak:
    """How fast square matrices are multiplied: what a step could reach at best.

    Attributes:
      side: Rows and columns of the matrices on each device.
      flops_per_second: Of all devices together, `2 side^3` a product.
    """

    side: int
    flops_per_second: float

    @classmethod
    def measure(cls, dtype: str, devices: Sequence[jax.Device]) -> MatmulPeak:
        """Multiplies on all the devices at a time; takes the best of a few."""
        side, count = _side(dtype, devices), len(devices)
        multiply = jax.pmap(jnp.matmul, devices=devices)
        # Not of zeros: a GPU that switches fewer bits may raise its clock.
        draw = jax.pmap(
            lambda key: jax.random.normal(key, (side, side), dtype), devices=devices
        )
        x = draw(jax.random.split(jax.random.key(0), count))

        def call():
            for _ in range(_AT_ONCE):
                y = multiply(x, x)
            jax.block_until_ready(y)

        call()
        seconds = min(time_calls(call, Limits(steps=3, seconds=2.0)))
        return cls(side, _AT_ONCE * count * 2 * side**3 / seconds)


def _side(dtype: str, devices: Sequence[jax.Device]) -> int:
    """The side of matrices that fit a device beside what is there."""
    first = devices[0]
    if first.platform == "cpu":  # whose "devices" may share a few cores
        return max(_SIDE_ON_CPU // len(devices), 256)
    side, limit = _SIDE, (first.memory_stats() or {}).get("bytes_limit")
    while limit and side**2 * jnp.dtype(dtype).itemsize > limit / _PART:
        side //= 2
    return side
