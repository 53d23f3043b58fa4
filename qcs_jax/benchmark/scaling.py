"""A model, not a measurement: the step on other devices, and on more of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from qcs_jax.models.csa import METRICS
from qcs_jax.models.qcs import QCS

COUNTS = (1, 2, 4, 8, 16, 64)
LINK = 25.0  # GB/s; PCIe 4.0 x16 has 32, NVLink 4 450, the links of a TPU v5e 200
LATENCY = 20e-6  # seconds that a reduction takes whatever its size
UTILISATION = 0.3  # of the published peak that a step is assumed to reach
LEVELS = 3  # of the pyramid, each with an interaction
_FLOAT32 = 4  # bytes


@dataclasses.dataclass(frozen=True)
class Reduced:
    """What devices tell each other in one step.

    Attributes:
      what: For people to read.
      bytes: Of each device.
      messages: Reductions that wait for one another.
    """

    what: str
    bytes: int
    messages: int

    def seconds(self, devices: int, link: float) -> float:
        """Of a ring all-reduce, `2 (N - 1) / N` times the bytes, and of latency."""
        if devices == 1:
            return 0.0
        share = 2 * (devices - 1) / devices
        return share * self.bytes / (1e9 * link) + self.messages * LATENCY


def reductions(model: QCS, variables: Any, passes: int) -> list[Reduced]:
    """What a step reduces over the devices.

    Args:
      model: The network.
      variables: Its variables, or their shapes.
      passes: Gradients in a step, two with SAM.
    """
    params, stats = (
        jax.tree.leaves(variables[name]) for name in ("params", "batch_stats")
    )
    n = model.branches
    extremes = LEVELS * _extremes(model)
    # Mean and variance of every branch, and the gradients of both; likewise extremes.
    return [
        Reduced("gradients", passes * _FLOAT32 * _size(params), passes),
        Reduced(
            "batch statistics",
            2 * passes * n * _FLOAT32 * _size(stats),
            2 * passes * len(stats),
        ),
        Reduced(
            "extremes of CSA",
            2 * passes * max(n // 2, 1) * _FLOAT32 * extremes,
            2 * passes * extremes,
        ),
    ]


def _size(leaves: Sequence[Any]) -> int:
    return sum(x.size for x in leaves)


def _extremes(model: QCS) -> int:
    """Minima and maxima over the batch at one level, see `csa.csa_maps`."""
    if model.branches == 1 or model.interaction not in METRICS:
        return 0
    information = model.information if model.branches == 4 else "s"
    return {"s": 2, "d": 1, "sd": 3}[information]


@dataclasses.dataclass(frozen=True)
class Row:
    """The step on some devices.

    Attributes:
      devices: Number N of them.
      same_batch: Seconds of a step where they share the batch; None where it cannot
        be divided.
      same_batch_images: Images in a second, likewise.
      grown_batch: Seconds of a step where each has as many images as measured.
      grown_batch_images: Images in a second, likewise.
    """

    devices: int
    same_batch: float | None
    same_batch_images: float | None
    grown_batch: float
    grown_batch_images: float


def model_of(
    seconds: float,
    *,
    measured_on: int,
    batch: int,
    images: int,
    reduced: Sequence[Reduced],
    link: float,
) -> list[Row]:
    """Divides the measured step over other numbers of devices.

    Args:
      seconds: Of the measured step.
      measured_on: Devices that it was measured on; there the model is the measurement.
      batch: Anchors in it, over all devices.
      images: Images in it.
      reduced: From `reductions`.
      link: GB/s that a device sends and receives.
    """

    def communication(devices: int) -> float:
        return sum(x.seconds(devices, link) for x in reduced)

    alone = max(seconds - communication(measured_on), 0) * measured_on
    rows = []
    for n in COUNTS:
        same = None if batch % n else alone / n + communication(n)
        grown = alone / measured_on + communication(n)
        if n == measured_on:
            same = grown = seconds
        rows.append(
            Row(
                devices=n,
                same_batch=same,
                same_batch_images=images / same if same else None,
                grown_batch=grown,
                grown_batch_images=images * n / measured_on / grown,
            )
        )
    return rows


def assumptions(reduced: Sequence[Reduced], link: float, measured_on: int) -> list[str]:
    """What `model_of` takes for granted, in sentences."""
    sizes = ", ".join(f"{x.what} {x.bytes / 1e3:,.1f} kB" for x in reduced)
    messages = sum(x.messages for x in reduced)
    return [
        f"computation is divided evenly, from the step measured on N = {measured_on}",
        f"a step reduces: {sizes}",
        f"by ring all-reduce, 2 (N - 1) / N times the bytes at {link:g} GB/s a device",
        f"{messages} reductions wait {1e6 * LATENCY:.0f} us each",
        "nothing is reduced while something is computed",
        "fewer images on a device are computed as efficiently",
    ]


@dataclasses.dataclass(frozen=True)
class Published:
    """Peak of a device, as its maker publishes it: dense, in TFLOP/s.

    Attributes:
      float32: By JAX's default for float32: TF32 on NVIDIA, bfloat16 on TPU.
      bfloat16: With float32 sums.
    """

    float32: float
    bfloat16: float


PUBLISHED = {
    "RTX 3090": Published(35.6, 71.0),
    "H100 SXM": Published(494.7, 989.0),
    "TPU v5e": Published(197.0, 197.0),
}


def hours(flops: float, steps: int, device: str, dtype: str) -> float:
    """Estimates the hours of `steps` steps of `flops` each on one device."""
    peak = 1e12 * getattr(PUBLISHED[device], dtype)
    return flops * steps / (UTILISATION * peak) / 3600
