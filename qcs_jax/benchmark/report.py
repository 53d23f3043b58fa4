"""Measures what a mode of the command asks for, and writes it for people to read."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Sequence
from operator import getitem
from typing import Any

import jax
import ml_collections

from qcs_jax import models
from qcs_jax.benchmark import device
from qcs_jax.benchmark.programs import Limits, time_calls
from qcs_jax.benchmark.subject import Subject
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
    "training" and "inference" are by precision, see `Subject.train` and
    `Subject.infer`, with the "matmul" of the same devices; so are "flops", XLA's
    count of a train step, and the "bottleneck" in words.

    Raises:
      UserError: for a configuration that cannot run; if there is no data set for the
        mode "input".
    """
    run, notes, classes = Run.of(config), [], QCS.num_classes
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
    training, inference, decoded, waits = {}, {}, None, {}
    if mode == "train":
        training = _by_precision(Subject.train, subject, limits, devices)
    if mode == "infer":
        inference = _by_precision(Subject.infer, subject, limits, devices[:1])
    counts = {dtype: x["flops"] for dtype, x in training.items()}
    if mode == "count":
        counts = {dtype: subject.in_precision(dtype).count() for dtype in DTYPES}
    if mode == "input" or (mode == "train" and not notes):
        decoded = _decode(run)
        for dtype, x in training.items():
            consumed = x["speed"]["images_per_second"]
            waits[dtype] = bottleneck(
                decoded["images_per_second"], consumed, decoded["workers"]
            )
    return {
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
        "training": training,
        "inference": inference,
        "flops": {dtype: sum(x.values()) for dtype, x in counts.items()},
        "input": decoded,
        "bottleneck": waits,
        "notes": notes,
    }


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
    _tell("decoding images")
    with contextlib.closing(open_batches(run, 0)) as batches:
        for _ in range(_AHEAD):
            next(batches)
        seconds = time_calls(lambda: next(batches), _INPUT_LIMITS)
    images = len(seconds) * run.config.train.batch_size * run.model.branches
    return {
        "dataset": run.splits.train.name,
        "images": images,
        "seconds": sum(seconds),
        "images_per_second": images / sum(seconds),
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


def as_text(report: dict[str, Any]) -> str:
    """Returns all that `create` has measured, as lines."""
    network, batch, here = report["network"], report["batch"], report["devices"]
    lines = [
        f"{report['name']}, --mode={report['mode']}: {network['name']}, "
        f"{network['size']}, {network['parameters'] / 1e6:.2f} M parameters, "
        f"{network['classes']} classes",
        f"{batch['anchors']} anchors, {batch['images']} images in a train step",
        f"on {here['count']} x {here['kind']} ({here['platform']}), JAX {here['jax']}",
    ]
    of_step = _rows(report["flops"], [("FLOPs of a step, by XLA", "", _si)])
    if measured := report["training"]:
        programs = measured[DTYPES[0]]["flops"]
        lines += [
            _title("train step, random images"),
            *_rows(measured, _COMPILATION + _SPEED),
            *of_step,
            *_rows(measured, [(f"  {x}", f"flops.{x}", _si) for x in programs]),
            *_rows(measured, [("  counted once compiled *", "compiled_flops", _si)]),
            *_rows(measured, _DEVICE),
            "* without what a GPU calls from libraries; the count above is before that",
        ]
    if measured := report["inference"]:
        lines.append(_title("base branch, Classifier.classify"))
        lines += _rows(measured, [("FLOPs of an image, by XLA", "flops", _si)])
        for i, calls in enumerate(measured[DTYPES[0]]["calls"]):
            lines.append(f"{calls['batch']} at a time")
            of_calls = {dtype: x["calls"][i] for dtype, x in measured.items()}
            lines += _rows(of_calls, _FIRST_CALL + _SPEED)
        lines += _rows(measured, _DEVICE)
    if report["mode"] == "count":
        lines += [
            _title("train step, counted on a CPU"),
            *of_step,
        ]
    if read := report["input"]:
        workers = f"{read['workers']} processes" if read["workers"] else "threads"
        waits = report["bottleneck"]
        lines += [
            f"\ninput pipeline alone, {read['dataset']}, {workers}: "
            f"{_number(read['images_per_second'])} images/s ({read['images']} images "
            f"in {_seconds(read['seconds'])})",
            *(f"{x}: {waits[x]}" for x in DTYPES[::-1] if x in waits),
        ]
        if waits and here["platform"] == "cpu":
            lines.append(
                "(On a CPU both want the same cores: each is slower beside the other.)"
            )
    return "\n".join(lines + [f"\nnote: {note}" for note in report["notes"]])


def _seconds(x: float) -> str:
    return f"{x:.2f} s" if x >= 1 else f"{1e3 * x:.3g} ms"


def _number(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def _si(x: float) -> str:
    """As "1.23 GFLOP"."""
    power = min(max(len(f"{x:.0f}") - 1, 3) // 3, 5)
    return f"{x / 1000**power:.4g} {' kMGTP'[power]}FLOP"


def _rate(x: float) -> str:
    return f"{_si(x)}/s"


def _bytes(x: int) -> str:
    return f"{x / 1e6:,.0f} MB"


def _percentiles(speed: dict[str, float]) -> str:
    return f"{_seconds(speed['p10'])} to {_seconds(speed['p90'])}"


# What a row is called, where in a measurement it is, and how it is written.
Row = tuple[str, str, Callable[[Any], str]]

_COMPILATION: list[Row] = [
    ("compile: trace", "compilation.trace", _seconds),
    ("  XLA, empty cache", "compilation.cold", _seconds),
    ("  XLA, from the cache", "compilation.cached", _seconds),
]
_FIRST_CALL: list[Row] = [
    ("  first call, empty cache", "first_cold", _seconds),
    ("  first call, from the cache", "first_cached", _seconds),
]
_SPEED: list[Row] = [
    ("  steps or calls timed", "speed.steps", str),
    ("  median", "speed.median", _seconds),
    ("  10th to 90th percentile", "speed", _percentiles),
    ("  images/s", "speed.images_per_second", _number),
]
_DEVICE: list[Row] = [
    ("FLOP/s reached", "flops_per_second", _rate),
    ("  by a product of matrices", "matmul.flops_per_second", _rate),
    ("  reached, of that", "matmul.reached", "{:.0%}".format),
    ("memory: peak, by the device", "memory.peak", _bytes),
    ("memory: largest program, XLA", "memory.programs", _bytes),
    ("memory: peak of the process, RSS", "memory.process", _bytes),
]


def _title(name: str) -> str:
    return "\n" + _line(name, DTYPES[::-1])  # float32 is what the paper has


def _line(name: str, cells: Sequence[str]) -> str:
    return f"{name:<34}" + "".join(f"{cell:>22}" for cell in cells)


def _rows(measured: dict[str, Any], rows: Sequence[Row]) -> list[str]:
    """A column for each precision; what was measured in none is left out."""
    lines = []
    for name, path, text in rows:
        keys = path.split(".") if path else []
        columns = [measured.get(dtype) for dtype in DTYPES[::-1]]
        values = [functools.reduce(getitem, keys, x) for x in columns if x is not None]
        if any(x is not None for x in values):
            lines.append(_line(name, ["-" if x is None else text(x) for x in values]))
    return lines
