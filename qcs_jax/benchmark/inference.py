"""Measures the base branch as `qcs_jax.load` gives it, on random images."""

from __future__ import annotations

import pathlib
import time
from typing import Any

import jax
import numpy as np

from qcs_jax.benchmark import device, programs
from qcs_jax.benchmark.training import Subject
from qcs_jax.checkpoint import Trained
from qcs_jax.checkpoint.description import describe
from qcs_jax.predict.classifier import Classifier

BATCHES = (1, 8, 64)


def measure(
    subject: Subject, variables: Any, limits: programs.Limits
) -> dict[str, Any]:
    """Times calls of `Classifier.classify`.

    "flops" are XLA's count for one image, "flops_per_second" those at best. "calls"
    have for each number of images the seconds of the first call, which compiles
    ("first_cold") or reads JAX's persistent cache ("first_cached"), and of later ones.
    """
    resize = subject.config.data.resize
    names = tuple(f"class {i}" for i in range(subject.classes))
    description = describe(subject.config, names, subject.model.image_size)
    trained = Trained(variables, description, 0, pathlib.Path(), in_file=True)
    classifier = Classifier(trained)
    flops, calls = _flops(subject), list[dict[str, Any]]()
    for batch in BATCHES:
        shape = (batch, resize, resize, 3)
        faces = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        with programs.empty_cache():
            first_cold = _seconds(classifier, faces)
            jax.clear_caches()
            first_cached = _seconds(classifier, faces)
            seconds = programs.time_calls(lambda: classifier.classify(faces), limits)  # noqa: B023
        reached = programs.speed(seconds, batch)
        calls.append(
            {
                "batch": batch,
                "first_cold": first_cold,
                "first_cached": first_cached,
                "speed": reached,
                "flops_per_second": flops * reached["images_per_second"],
            }
        )
    return {
        "dtype": subject.config.dtype,
        "flops": flops,
        "calls": calls,
        "flops_per_second": max(call["flops_per_second"] for call in calls),
        "memory": device.memory(),
    }


def _flops(subject: Subject) -> float:
    """XLA's count of operations for one image; compiles nothing."""
    side = subject.model.image_size
    with jax.default_device(programs.counting_device()):
        image = jax.ShapeDtypeStruct((1, side, side, 3), np.float32)
        forward = jax.jit(subject.model.apply)
        return programs.Program("forward", forward, (subject.shapes, image)).flops()


def _seconds(classifier: Classifier, faces: np.ndarray) -> float:
    began = time.perf_counter()
    classifier.classify(faces)
    return time.perf_counter() - began
