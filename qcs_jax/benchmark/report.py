"""Measures what a mode of the command asks for, and writes it for people to read."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import ml_collections

from qcs_jax import models
from qcs_jax.benchmark.programs import Limits, matmul_peak, time_calls
from qcs_jax.benchmark.subject import REACHED, Subject
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

    Returns rows of plain types, with the unit in the name: "about" the configuration
    and the devices; what was "measured" in each precision; of the "input" pipeline,
    empty unless it was measured; and "notes", such as what training waits for.

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
    measured, decoded = {}, {}
    if mode == "train":
        measured = _by_precision(Subject.train, subject, limits, devices)
    if mode == "infer":
        measured = _by_precision(Subject.infer, subject, limits, devices[:1])
    if mode == "count":
        measured = {dtype: subject.in_precision(dtype).count() for dtype in DTYPES}
    if mode == "input" or (mode == "train" and not notes):
        decoded = _decode(run)
    if mode == "train" and decoded:
        rate, workers = decoded["input: images/s"], config.data.workers
        for dtype, rows in measured.items():
            waits = bottleneck(rate, rows["step: images/s"], workers)
            notes.append(f"{dtype}: {waits}")
    return {
        "about": {
            "configuration": config.name,
            "mode": mode,
            "network": f"{config.model.name}, {config.model.size}",
            "parameters": models.count(subject.shapes),
            "classes": classes,
            "anchors in a step": config.train.batch_size,
            "images in a step": subject.images,
            "platform": devices[0].platform,  # "cpu", "gpu" or "tpu"
            "devices": f"{len(devices)} x {devices[0].device_kind}",
            "JAX": jax.__version__,
        },
        "measured": dict(reversed(measured.items())),  # float32 is what the paper has
        "input": decoded,
        "notes": notes,
    }


def _by_precision(
    measure: Callable[[Subject, Any, Limits], dict[str, float]],
    subject: Subject,
    limits: Limits,
    devices: Sequence[jax.Device],
) -> dict[str, dict[str, float]]:
    """What a function measures in each precision, beside products of matrices."""
    _tell("making weights")
    key, measured = jax.random.key(0), {}
    variables = jax.device_get(models.init(subject.model, key))
    for dtype in DTYPES:
        _tell(f"{dtype}: compiling twice, then at most {limits.steps} of each")
        measured[dtype] = measure(subject.in_precision(dtype), variables, limits)
    _tell("multiplying matrices")  # last: none is among the memory of a step
    for dtype, rows in measured.items():
        peak = matmul_peak(dtype, devices) / 1e9
        rows["GFLOP/s of a product of matrices"] = peak
        rows["reached, of that, %"] = 100 * rows[REACHED] / peak
    return measured


def _decode(run: Run) -> dict[str, Any]:
    """Reads batches as training does, while nothing else runs."""
    _tell("decoding images")
    with contextlib.closing(open_batches(run, 0)) as batches:
        for _ in range(_AHEAD):
            next(batches)
        seconds = time_calls(lambda: next(batches), _INPUT_LIMITS)
    images = len(seconds) * run.config.train.batch_size * run.model.branches
    return {
        "input: data set": run.splits.train.name,
        "input: processes (0: threads)": run.config.data.workers,
        "input: images": images,
        "input: s": sum(seconds),
        "input: images/s": images / sum(seconds),
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
    """Returns what `create` has measured, as lines of a name and its values."""
    lines = [_line(*row) for row in report["about"].items()]
    if measured := report["measured"]:
        lines += ["", _line("", *measured)]
        first, *others = measured.values()
        for name, x in first.items():
            lines.append(_line(name, x, *(rows[name] for rows in others)))
    if report["input"]:
        lines += ["", *(_line(*row) for row in report["input"].items())]
    return "\n".join(lines + [f"\nnote: {note}" for note in report["notes"]])


def _line(name: str, *cells: str | float) -> str:
    return f"{name:<44}" + "".join(f"{_text(cell):>16}" for cell in cells)


def _text(x: str | float) -> str:
    if isinstance(x, str):
        return x
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"
