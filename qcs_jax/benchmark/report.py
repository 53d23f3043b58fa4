"""What the command finds out, from a configuration to one object."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import ml_collections

from qcs_jax import models
from qcs_jax.benchmark import inference, scaling
from qcs_jax.benchmark.decoding import Decoding, bottleneck
from qcs_jax.benchmark.device import Devices, MatmulPeak
from qcs_jax.benchmark.inference import Inference
from qcs_jax.benchmark.timing import Limits
from qcs_jax.benchmark.training import Subject, Training
from qcs_jax.models.qcs import QCS
from qcs_jax.system.errors import UserError
from qcs_jax.train.run import Run

# The smaller first: devices count the most memory that was in use since they started.
DTYPES = ("bfloat16", "float32")
_STEPS = 1000  # to estimate the time of, where the size of the data set is not known


@dataclasses.dataclass(frozen=True)
class Scaling:
    """The model of a step on several devices; not a measurement.

    Attributes:
      assumptions: In sentences.
      rows: By precision.
    """

    assumptions: list[str]
    rows: dict[str, list[scaling.Row]]


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Hours on devices that are not here; not a measurement.

    Attributes:
      steps: What they are estimated for.
      whole_run: Whether these are all steps of the run.
      utilisation: Part of the published peak that is assumed.
      hours: By device and precision.
    """

    steps: int
    whole_run: bool
    utilisation: float
    hours: dict[str, dict[str, float]]


@dataclasses.dataclass(frozen=True)
class Report:
    """All that one command prints; what a mode does not measure is None or empty.

    Attributes:
      mode: "train", "infer", "input" or "count".
      name: Of the run.
      network: Its name, size, classes and parameters.
      batch: Anchors, and images, in a train step.
      devices: Where it was measured.
      training: By precision.
      inference: By precision.
      flops: Of a train step, by precision.
      input: Of the input pipeline.
      bottleneck: In words, by precision.
      scaling: On several devices.
      estimate: On other devices.
      notes: What could not be measured, and why.
    """

    mode: str
    name: str
    network: dict[str, Any]
    batch: dict[str, int]
    devices: Devices
    training: dict[str, Training] = dataclasses.field(default_factory=dict)
    inference: dict[str, Inference] = dataclasses.field(default_factory=dict)
    flops: dict[str, float] = dataclasses.field(default_factory=dict)
    input: Decoding | None = None
    bottleneck: dict[str, str] = dataclasses.field(default_factory=dict)
    scaling: Scaling | None = None
    estimate: Estimate | None = None
    notes: list[str] = dataclasses.field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The same in plain types."""
        return dataclasses.asdict(self)


def create(
    mode: str, config: ml_collections.ConfigDict, limits: Limits, link: float
) -> Report:
    """Measures what a mode measures.

    Args:
      mode: See `Report`.
      config: See `base_config`; its precision is not used.
      limits: Number of steps.
      link: See `scaling.model_of`.

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
    report = Report(
        mode=mode,
        name=config.name,
        network={
            "name": config.model.name,
            "size": config.model.size,
            "classes": classes,
            "parameters": models.count(subject.shapes),
        },
        batch={"anchors": config.train.batch_size, "images": subject.images},
        devices=Devices.here(),
        notes=notes,
    )
    found = _Measurement(run, subject, limits, link, prepared=not notes)
    modes: dict[str, Callable[[], dict]] = {
        "train": found.train,
        "infer": found.infer,
        "input": found.input,
        "count": found.count,
    }
    return dataclasses.replace(report, **modes[mode]())


@dataclasses.dataclass(frozen=True)
class _Measurement:
    """The modes; each returns the fields of the report that it fills."""

    run: Run
    subject: Subject
    limits: Limits
    link: float
    prepared: bool  # whether there is a data set

    def train(self) -> dict[str, Any]:
        _tell("making weights")
        variables, training = self.subject.variables(), {}
        for dtype in DTYPES:
            _tell(f"{dtype}: compiling twice, then at most {self.limits.steps} steps")
            measured = self.subject.of(dtype).measure(variables, self.limits)
            training[dtype] = measured
        flops = {dtype: sum(x.flops.values()) for dtype, x in training.items()}
        found: dict[str, Any] = {
            "training": _with_matmul(training, jax.local_devices()),
            "flops": flops,
            "scaling": self._scaling(training),
            "estimate": self._estimate(flops),
        }
        if self.prepared:
            found |= self.input()
            read: Decoding = found["input"]
            found["bottleneck"] = {
                dtype: bottleneck(
                    read.images_per_second, x.speed.images_per_second, read.workers
                )
                for dtype, x in training.items()
            }
        return found

    def infer(self) -> dict[str, Any]:
        _tell("making weights")
        variables, found = self.subject.variables(), {}
        for dtype in DTYPES:
            _tell(f"{dtype}: {', '.join(map(str, inference.BATCHES))} images at a time")
            subject = self.subject.of(dtype)
            found[dtype] = inference.measure(subject, variables, self.limits)
        return {"inference": _with_matmul(found, jax.local_devices()[:1])}

    def input(self) -> dict[str, Any]:
        _tell("decoding images")
        return {"input": Decoding.measure(self.run)}

    def count(self) -> dict[str, Any]:
        flops = {d: sum(self.subject.of(d).count().values()) for d in DTYPES}
        return {"flops": flops, "estimate": self._estimate(flops)}

    def _scaling(self, training: dict[str, Training]) -> Scaling:
        config, count = self.subject.config, jax.local_device_count()
        passes = 2 if config.optimizer.rho > 0 else 1
        model, shapes = self.subject.model, self.subject.shapes
        reduced = scaling.reductions(model, shapes, passes)
        rows = {
            dtype: scaling.model_of(
                x.speed.median,
                measured_on=count,
                batch=config.train.batch_size,
                images=self.subject.images,
                reduced=reduced,
                link=self.link,
            )
            for dtype, x in training.items()
        }
        return Scaling(scaling.assumptions(reduced, self.link, count), rows)

    def _estimate(self, flops: dict[str, float]) -> Estimate:
        steps = self.run.total_steps if self.prepared else _STEPS
        hours = {
            device: {d: scaling.hours(flops[d], steps, device, d) for d in DTYPES}
            for device in scaling.PUBLISHED
        }
        return Estimate(steps, self.prepared, scaling.UTILISATION, hours)


def _tell(progress: str) -> None:
    print(f"{progress} ...", file=sys.stderr, flush=True)


def _with_matmul(measured: dict[str, Any], devices: Sequence[jax.Device]) -> dict:
    """Measures last, so that no matrix is among the memory of a step."""
    _tell("multiplying matrices")
    return {
        dtype: dataclasses.replace(x, matmul=MatmulPeak.measure(dtype, devices))
        for dtype, x in measured.items()
    }
