"""Measures the base branch as `qcs_jax.load` gives it, on random images."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from typing import Any

import jax
import numpy as np

from qcs_jax.benchmark.device import MatmulPeak, Memory
from qcs_jax.benchmark.programs import Program, counting_device, empty_cache
from qcs_jax.benchmark.timing import Limits, Speed, time_calls
from qcs_jax.benchmark.training import Subject
from qcs_jax.checkpoint import Trained
from qcs_jax.checkpoint.description import describe
from qcs_jax.predict.classifier import Classifier

BATCHES = (1, 8, 64)


@dataclasses.dataclass(frozen=True)
class Calls:
    """Calls of `Classifier.classify` with one number of images.

    Attributes:
      batch: Images in a call.
      first_cold: Seconds of the first call, which compiles.
      first_cached: The same where JAX's persistent cache has the programs.
      speed: Of all later calls.
      flops_per_second: Reached in them.
    """

    batch: int
    first_cold: float
    first_cached: float
    speed: Speed
    flops_per_second: float


@dataclasses.dataclass(frozen=True)
class Inference:
    """What a classifier of one precision takes.

    Attributes:
      dtype: Precision.
      flops: XLA's count for one image.
      calls: By number of images.
      memory: Most that was in use.
      matmul: What one device reaches multiplying matrices, see `Training`.
    """

    dtype: str
    flops: float
    calls: list[Calls]
    memory: Memory
    matmul: MatmulPeak | None = None


def count(subject: Subject) -> float:
    """XLA's count of operations for one image; compiles nothing."""
    model, device = subject.model, counting_device()
    s = model.image_size
    with jax.default_device(device):
        image = jax.ShapeDtypeStruct((1, s, s, 3), np.float32)
        forward = jax.jit(model.apply)
        return Program("forward", forward, (subject.shapes, image)).flops()


def measure(subject: Subject, variables: Any, limits: Limits) -> Inference:
    """Compiles, runs and counts.

    Args:
      subject: Its network is measured.
      variables: Of the network.
      limits: Number of calls with each number of images.
    """
    resize = subject.config.data.resize
    names = tuple(f"class {i}" for i in range(subject.classes))
    description = describe(subject.config, names, subject.model.image_size)
    trained = Trained(variables, description, 0, pathlib.Path(), in_file=True)
    classifier = Classifier(trained)
    flops, calls = count(subject), []
    for batch in BATCHES:
        shape = (batch, resize, resize, 3)
        faces = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        with empty_cache():
            first_cold = _seconds(classifier, faces)
            jax.clear_caches()
            first_cached = _seconds(classifier, faces)
            speed = Speed.of(
                time_calls(lambda: classifier.classify(faces), limits),  # noqa: B023
                batch,
            )
        rate = flops * speed.images_per_second
        calls.append(Calls(batch, first_cold, first_cached, speed, rate))
    return Inference(subject.config.dtype, flops, calls, Memory.of([]))


def _seconds(classifier: Classifier, faces: np.ndarray) -> float:
    began = time.perf_counter()
    classifier.classify(faces)
    return time.perf_counter() - began
