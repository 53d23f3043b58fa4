"""Measures what a mode of the command asks for."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import ml_collections

from qcs_jax import models
from qcs_jax.benchmark import device, inference
from qcs_jax.benchmark.programs import Limits
from qcs_jax.benchmark.training import Subject
from qcs_jax.models.qcs import QCS
from qcs_jax.system.errors import UserError
from qcs_jax.train.run import Run, open_batches

# The smaller first: devices count the most memory that was in use since they started.
DTYPES = ("bfloat16", "float32")
_INPUT_LIMITS = Limits(steps=200, seconds=10.0)
_AHEAD = 4  # batches that may be ready before the clock starts; not counted


def create(
    mode: str, config: ml_collections.ConfigDict, limits: Limits
) -> dict[str, Any]:
    """Measures what a mode measures; the precision of the configuration is not used.

    Returns plain types, empty or None where a mode does not measure something.
    "training" and "inference" are by precision, see `Subject.measure` and
    `inference.measure`, with the "matmul" of the same devices; so are "flops", XLA's
    count of a train step, and the "bottleneck" in words.

    Raises:
      UserError: for a configuration that cannot run; if there is no data set for the
        mode "input".
    """
    run = Run.of(config)
    notes: list[str] = []
    classes = QCS.num_classes
    try:
        _ = run.splits.train
        classes = len(run.splits.class_names)
    except UserError as error:
        if mode == "input":
            raise
        assumed = f"{classes} classes are assumed"
        if mode == "train":
            assumed += ", and the input pipeline is not measured"
        notes.append(f"{assumed}: {' '.join(str(error).split())}")
    subject, devices = Subject(config, classes), jax.local_devices()
    report: dict[str, Any] = {
        "mode": mode,
        "name": config.name,
        "network": {
            "name": config.model.name,
            "size": config.model.size,
            "classes": classes,
            "parameters": models.count(subject.shapes),
        },
        "batch": {"anchors": config.train.batch_size, "images": subject.images},
        "devices": {
            "platform": devices[0].platform,  # "cpu", "gpu" or "tpu"
            "kind": devices[0].device_kind,
            "count": len(devices),
            "jax": jax.__version__,
        },
        "training": {},
        "inference": {},
        "flops": {},
        "input": None,
        "bottleneck": {},
        "notes": notes,
    }
    if mode == "train":
        measured = _by_precision(Subject.measure, subject, limits, devices)
        report["training"] = measured
    if mode == "infer":
        measured = _by_precision(inference.measure, subject, limits, devices[:1])
        report["inference"] = measured
    counts = {dtype: x["flops"] for dtype, x in report["training"].items()}
    if mode == "count":
        counts = {dtype: subject.in_precision(dtype).count() for dtype in DTYPES}
    report["flops"] = {dtype: sum(x.values()) for dtype, x in counts.items()}
    if mode == "input" or (mode == "train" and not notes):
        _tell("decoding images")
        read = report["input"] = _decode(run)
        decoded, workers = read["images_per_second"], read["workers"]
        for dtype, x in report["training"].items():
            consumed = x["speed"]["images_per_second"]
            report["bottleneck"][dtype] = bottleneck(decoded, consumed, workers)
    return report


def _by_precision(
    measure: Callable[[Subject, Any, Limits], dict[str, Any]],
    subject: Subject,
    limits: Limits,
    devices: Sequence[jax.Device],
) -> dict[str, dict[str, Any]]:
    """What a function measures in each precision, beside products of matrices."""
    _tell("making weights")
    key, measured = jax.random.key(0), {}
    variables = jax.device_get(models.init(subject.model, key))
    for dtype in DTYPES:
        _tell(f"{dtype}: compiling twice, then at most {limits.steps} of each")
        measured[dtype] = measure(subject.in_precision(dtype), variables, limits)
    _tell("multiplying matrices")  # last: none is among the memory of a step
    for dtype, x in measured.items():
        x["matmul"] = peak = device.matmul_peak(dtype, devices)
        peak["reached"] = x["flops_per_second"] / peak["flops_per_second"]
    return measured


def _decode(run: Run) -> dict[str, Any]:
    """Reads batches as training does, while nothing else runs.

    "workers" are decoding processes, 0 for threads.
    """
    with contextlib.closing(open_batches(run, 0)) as batches:
        for _ in range(_AHEAD):
            next(batches)
        began, count = time.perf_counter(), 0
        while not (count and _INPUT_LIMITS.reached(count, began)):
            next(batches)
            count += 1
        seconds = time.perf_counter() - began
    images = count * run.config.train.batch_size * run.model.branches
    return {
        "dataset": run.splits.train.name,
        "images": images,
        "seconds": seconds,
        "images_per_second": images / seconds,
        "workers": run.config.data.workers,
    }


def bottleneck(decoded: float, consumed: float, workers: int) -> str:
    """Says what training waits for, from the images decoded and consumed a second."""
    decodes = f"the input pipeline decodes {decoded:,.0f} images/s"
    if decoded >= consumed:
        return (
            f"The step is the bottleneck: {decodes}, {decoded / consumed:.1f} times "
            f"the {consumed:,.0f} that the step consumes."
        )
    return (
        f"The input is the bottleneck: {decodes}, {decoded / consumed:.0%} of the "
        f"{consumed:,.0f} that the step could consume. Raise data.workers (it is "
        f"{workers}), or prepare smaller images."
    )


def _tell(progress: str) -> None:
    print(f"{progress} ...", file=sys.stderr, flush=True)
