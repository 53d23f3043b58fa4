"""A report for people to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from qcs_jax.benchmark.device import Memory
from qcs_jax.benchmark.report import DTYPES, Report

_COLUMNS = tuple(reversed(DTYPES))  # float32 is what the paper has
_NAME, _WIDTH = 34, 22


def text_of(report: Report) -> str:
    """Everything in a report, as lines."""
    sections = [_head(report), _training(report), _inference(report), _counts(report)]
    sections += [_input(report), _scaling(report), _estimate(report)]
    sections.append(f"note: {note}" for note in report.notes)
    return "\n\n".join(filter(None, ("\n".join(lines) for lines in sections)))


def _head(report: Report) -> Iterator[str]:
    network, batch, here = report.network, report.batch, report.devices
    yield (
        f"{report.name}, --mode={report.mode}: {network['name']}, {network['size']}, "
        f"{network['parameters'] / 1e6:.2f} M parameters, "
        f"{network['classes']} classes"
    )
    yield f"{batch['anchors']} anchors, {batch['images']} images in a train step"
    yield f"on {here.count} x {here.kind} ({here.platform}), JAX {here.jax}"


def _training(report: Report) -> Iterator[str]:
    found = report.training
    if not found:
        return
    some = next(iter(found.values()))
    yield _heading("train step, random images", _COLUMNS)
    yield _row("compile: trace", found, lambda x: _seconds(x.compilation.trace))
    yield _row("  XLA, empty cache", found, lambda x: _seconds(x.compilation.cold))
    yield _row("  XLA, from the cache", found, lambda x: _seconds(x.compilation.cached))
    yield _row("steps timed", found, lambda x: x.speed.steps)
    yield _row("step, median", found, lambda x: _seconds(x.speed.median))
    yield _row(
        "  10th to 90th percentile",
        found,
        lambda x: f"{_seconds(x.speed.p10)} to {_seconds(x.speed.p90)}",
    )
    yield _row("images/s", found, lambda x: _number(x.speed.images_per_second))
    yield _row("FLOPs of a step, by XLA", found, lambda x: _si(sum(x.flops.values())))
    for name in some.flops:
        counts = {dtype: x.flops[name] for dtype, x in found.items()}
        yield _row(f"  {name}", counts, _si)
    yield _row("  counted once compiled *", found, lambda x: _si(x.compiled_flops))
    yield from _rates(found, lambda x: x.flops_per_second)
    yield from _memory(found)
    yield "* without what a GPU calls from libraries; the count above is before that"


def _inference(report: Report) -> Iterator[str]:
    found = report.inference
    if not found:
        return
    yield _heading("base branch, Classifier.classify", _COLUMNS)
    yield _row("FLOPs of an image, by XLA", found, lambda x: _si(x.flops))
    for i, calls in enumerate(next(iter(found.values())).calls):

        def told(name: str, tell: Callable[[Any], Any], i: int = i) -> str:
            return _row(name, found, lambda x: tell(x.calls[i]))

        yield f"{calls.batch} at a time"
        yield told("  first call, empty cache", lambda c: _seconds(c.first_cold))
        yield told("  first call, from the cache", lambda c: _seconds(c.first_cached))
        yield told("  calls timed", lambda c: c.speed.steps)
        yield told("  call, median", lambda c: _seconds(c.speed.median))
        yield told(
            "    10th to 90th percentile",
            lambda c: f"{_seconds(c.speed.p10)} to {_seconds(c.speed.p90)}",
        )
        yield told("  images/s", lambda c: _number(c.speed.images_per_second))
    yield from _rates(found, lambda x: max(c.flops_per_second for c in x.calls))
    yield from _memory(found)


def _rates(found: dict, rate: Callable[[Any], float]) -> Iterator[str]:
    """What was reached beside what could be."""
    side = next(iter(found.values())).matmul.side
    yield _row("FLOP/s reached", found, lambda x: f"{_si(rate(x))}/s")
    yield _row(
        f"  matmul of {side} x {side}",
        found,
        lambda x: f"{_si(x.matmul.flops_per_second)}/s",
    )
    yield _row(
        "  reached, of the matmul",
        found,
        lambda x: f"{rate(x) / x.matmul.flops_per_second:.0%}",
    )


def _memory(found: dict) -> Iterator[str]:
    def row(name: str, value: Callable[[Memory], int | None]) -> Iterator[str]:
        if any(value(x.memory) is not None for x in found.values()):
            yield _row(name, found, lambda x: _bytes(value(x.memory)))

    yield from row("memory: peak, by the device", lambda m: m.peak)
    yield from row("memory: largest program, XLA", lambda m: m.programs)
    yield from row("memory: peak of the process, RSS", lambda m: m.process)


def _counts(report: Report) -> Iterator[str]:
    if report.mode == "count":
        yield _heading("train step, counted on a CPU", _COLUMNS)
        yield _row("FLOPs of a step, by XLA", report.flops, _si)


def _input(report: Report) -> Iterator[str]:
    read = report.input
    if read is None:
        return
    workers = f"{read.workers} processes" if read.workers else "threads"
    yield (
        f"input pipeline alone, {read.dataset}, {workers}: "
        f"{_number(read.images_per_second)} images/s ({read.images} images in "
        f"{_seconds(read.seconds)})"
    )
    for dtype in _COLUMNS:
        if dtype in report.bottleneck:
            yield f"{dtype}: {report.bottleneck[dtype]}"
    if report.devices.platform == "cpu" and report.bottleneck:
        yield "(On a CPU both want the same cores: each is slower beside the other.)"


def _scaling(report: Report) -> Iterator[str]:
    model = report.scaling
    if model is None:
        return
    yield "MODEL of N such devices, not a measurement:"
    yield from (f"  {assumed}" for assumed in model.assumptions)
    for dtype in _COLUMNS:
        yield (
            f"{dtype:>10} N    this batch: step    images/s"
            f"      as much on each: step    images/s"
        )
        for row in model.rows[dtype]:
            same = f"{'does not divide':>28}"
            if row.same_batch is not None:
                same = _pair(row.same_batch, row.same_batch_images)
            grown = _pair(row.grown_batch, row.grown_batch_images)
            yield f"{row.devices:>12}{same}{grown:>40}"


def _pair(seconds: float, images: float | None) -> str:
    return f"{_seconds(seconds):>14}{_number(images or 0):>14}"


def _estimate(report: Report) -> Iterator[str]:
    estimate = report.estimate
    if estimate is None:
        return
    what = "the whole run" if estimate.whole_run else "not a whole run"
    yield _heading(
        f"ESTIMATE, {estimate.steps:,} steps ({what})",
        [f"{dtype}, hours" for dtype in _COLUMNS],
    )
    for device, hours in estimate.hours.items():
        yield _row(f"  one {device}", hours, lambda h: f"{h:.2g}")
    yield f"  at {estimate.utilisation:.0%} of the published peaks; not a measurement"


def _heading(name: str, columns: Sequence[str]) -> str:
    return name.ljust(_NAME) + "".join(f"{column:>{_WIDTH}}" for column in columns)


def _row(name: str, found: dict, value: Callable[[Any], Any]) -> str:
    return _heading(name, [str(value(found[dtype])) for dtype in _COLUMNS])


def _seconds(x: float) -> str:
    return f"{x:.2f} s" if x >= 1 else f"{1e3 * x:.3g} ms"


def _number(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def _bytes(x: int | None) -> str:
    return "-" if x is None else f"{x / 1e6:,.0f} MB"


def _si(x: float) -> str:
    """As "1.23 GFLOP"."""
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if x >= factor:
            return f"{x / factor:.4g} {prefix}FLOP"
    return f"{x / 1e3:.4g} kFLOP"
