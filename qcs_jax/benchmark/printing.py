"""A report for people to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qcs_jax.benchmark.report import DTYPES

_COLUMNS = tuple(reversed(DTYPES))  # float32 is what the paper has
_NAME, _WIDTH = 34, 22


def as_text(report: dict[str, Any]) -> str:
    """Returns all that `report.create` has measured, as lines."""
    sections = [_head(report)]
    if report["training"]:
        sections.append(_training(report["training"], report["flops"]))
    if report["inference"]:
        sections.append(_inference(report["inference"]))
    if report["mode"] == "count":
        title = _line("train step, counted on a CPU", _COLUMNS)
        sections.append([title, *_rows(report["flops"], _FLOPS)])
    if report["input"]:
        sections.append(_input(report))
    if report["notes"]:
        sections.append([f"note: {note}" for note in report["notes"]])
    return "\n\n".join("\n".join(lines) for lines in sections)


def _head(report: dict[str, Any]) -> list[str]:
    network, batch, here = report["network"], report["batch"], report["devices"]
    return [
        f"{report['name']}, --mode={report['mode']}: {network['name']}, "
        f"{network['size']}, {network['parameters'] / 1e6:.2f} M parameters, "
        f"{network['classes']} classes",
        f"{batch['anchors']} anchors, {batch['images']} images in a train step",
        f"on {here['count']} x {here['kind']} ({here['platform']}), JAX {here['jax']}",
    ]


def _training(measured: dict[str, Any], flops: dict[str, float]) -> list[str]:
    programs = measured[DTYPES[0]]["flops"]
    return [
        _line("train step, random images", _COLUMNS),
        *_rows(measured, _COMPILATION + _SPEED),
        *_rows(flops, _FLOPS),
        *_rows(measured, [(f"  {name}", f"flops.{name}", _si) for name in programs]),
        *_rows(measured, [("  counted once compiled *", "compiled_flops", _si)]),
        *_rows(measured, _DEVICE),
        "* without what a GPU calls from libraries; the count above is before that",
    ]


def _inference(measured: dict[str, Any]) -> list[str]:
    lines = [_line("base branch, Classifier.classify", _COLUMNS)]
    lines += _rows(measured, [("FLOPs of an image, by XLA", "flops", _si)])
    for i, calls in enumerate(measured[DTYPES[0]]["calls"]):
        lines.append(f"{calls['batch']} at a time")
        of_calls = {dtype: x["calls"][i] for dtype, x in measured.items()}
        lines += _rows(of_calls, _FIRST_CALL + _SPEED)
    return lines + _rows(measured, _DEVICE)


def _input(report: dict[str, Any]) -> list[str]:
    read, bottleneck = report["input"], report["bottleneck"]
    workers = f"{read['workers']} processes" if read["workers"] else "threads"
    lines = [
        f"input pipeline alone, {read['dataset']}, {workers}: "
        f"{_number(read['images_per_second'])} images/s ({read['images']} images in "
        f"{_seconds(read['seconds'])})"
    ]
    lines += [f"{d}: {bottleneck[d]}" for d in _COLUMNS if d in bottleneck]
    if report["devices"]["platform"] == "cpu" and bottleneck:
        lines.append(
            "(On a CPU both want the same cores: each is slower beside the other.)"
        )
    return lines


def _seconds(x: float) -> str:
    return f"{x:.2f} s" if x >= 1 else f"{1e3 * x:.3g} ms"


def _number(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def _si(x: float) -> str:
    """As "1.23 GFLOP"."""
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if x >= factor:
            return f"{x / factor:.4g} {prefix}FLOP"
    return f"{x / 1e3:.4g} kFLOP"


def _percentiles(speed: dict[str, float]) -> str:
    return f"{_seconds(speed['p10'])} to {_seconds(speed['p90'])}"


def _rate(x: float) -> str:
    return f"{_si(x)}/s"


def _bytes(x: int) -> str:
    return f"{x / 1e6:,.0f} MB"


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
_FLOPS: list[Row] = [("FLOPs of a step, by XLA", "", _si)]
_DEVICE: list[Row] = [
    ("FLOP/s reached", "flops_per_second", _rate),
    ("  by a product of matrices", "matmul.flops_per_second", _rate),
    ("  reached, of that", "matmul.reached", "{:.0%}".format),
    ("memory: peak, by the device", "memory.peak", _bytes),
    ("memory: largest program, XLA", "memory.programs", _bytes),
    ("memory: peak of the process, RSS", "memory.process", _bytes),
]


def _line(name: str, columns: Sequence[str]) -> str:
    return name.ljust(_NAME) + "".join(f"{column:>{_WIDTH}}" for column in columns)


def _rows(measured: dict[str, Any], rows: Sequence[Row]) -> list[str]:
    """A column for each precision; what was measured in none is left out."""
    lines = []
    for name, path, text in rows:
        values = [_at(path, measured[dtype]) for dtype in _COLUMNS]
        if any(x is not None for x in values):
            lines.append(_line(name, ["-" if x is None else text(x) for x in values]))
    return lines


def _at(path: str, measured: Any) -> Any:
    for key in filter(None, path.split(".")):
        measured = measured[key]
    return measured
