"""Measures what a mode of the command asks for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import ml_collections

from qcs_jax import models
from qcs_jax.benchmark import decoding, device, inference
from qcs_jax.benchmark.timing import Limits
from qcs_jax.benchmark.training import Subject
from qcs_jax.models.qcs import QCS
from qcs_jax.system.errors import UserError
from qcs_jax.train.run import Run

# The smaller first: devices count the most memory that was in use since they started.
DTYPES = ("bfloat16", "float32")


def create(
    mode: str, config: ml_collections.ConfigDict, limits: Limits
) -> dict[str, Any]:
    """Measures what a mode measures.

    Args:
      mode: "train", "infer", "input" or "count".
      config: See `base_config`; its precision is not used.
      limits: Number of steps.

    Returns:
      Plain types, empty or None where a mode does not measure something. "training" and
      "inference" are by precision, see `Subject.measure` and `inference.measure`, with
      the "matmul" of the same devices; so are "flops", XLA's count of a train step, and
      the "bottleneck" in words. "input" is as `decoding.measure` returns it.

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
    subject = Subject(config, classes)
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
        "devices": device.describe(),
        "training": {},
        "inference": {},
        "flops": {},
        "input": None,
        "bottleneck": {},
        "notes": notes,
    }
    devices, training = jax.local_devices(), {}
    if mode == "train":
        training = _by_precision(Subject.measure, subject, limits, devices)
    if mode == "infer":
        first = devices[:1]
        report["inference"] = _by_precision(inference.measure, subject, limits, first)
    counts = {dtype: x["flops"] for dtype, x in training.items()}
    if mode == "count":
        counts = {dtype: subject.in_precision(dtype).count() for dtype in DTYPES}
    report["training"] = training
    report["flops"] = {dtype: sum(x.values()) for dtype, x in counts.items()}
    if mode == "input" or (mode == "train" and not notes):
        _tell("decoding images")
        read = report["input"] = decoding.measure(run)
        for dtype, x in training.items():
            report["bottleneck"][dtype] = decoding.bottleneck(
                read["images_per_second"],
                x["speed"]["images_per_second"],
                read["workers"],
            )
    return report


def _by_precision(
    measure: Callable[[Subject, Any, Limits], dict[str, Any]],
    subject: Subject,
    limits: Limits,
    devices: Sequence[jax.Device],
) -> dict[str, dict[str, Any]]:
    """What a function measures in each precision, beside products of matrices."""
    _tell("making weights")
    variables, measured = subject.variables(), {}
    for dtype in DTYPES:
        _tell(f"{dtype}: compiling twice, then at most {limits.steps} of each")
        measured[dtype] = measure(subject.in_precision(dtype), variables, limits)
    _tell("multiplying matrices")  # last: none is among the memory of a step
    for dtype, x in measured.items():
        x["matmul"] = peak = device.matmul_peak(dtype, devices)
        peak["reached"] = x["flops_per_second"] / peak["flops_per_second"]
    return measured


def _tell(progress: str) -> None:
    print(f"{progress} ...", file=sys.stderr, flush=True)
