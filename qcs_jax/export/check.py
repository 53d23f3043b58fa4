"""Whether an exported model says what the network says."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from qcs_jax.evaluate.counts import finite
from qcs_jax.export.served import OUTPUTS, Exported, Served
from qcs_jax.images.decode import decode
from qcs_jax.system.errors import UserError

BATCHES = (1, 3, 8)

# Weights of fewer bits differ by what they differ: this only catches what is broken.
_QUANTIZED = {"float16": 0.05, "int8": 0.5}

_CALIBRATING = 256  # photographs at most
_AT_ONCE = 32  # photographs in memory


class ExportError(UserError):
    """An exported model does not say what the network says."""


def bound(exact: float, quantize: str) -> float:
    """The tolerance of `largest_difference`; `exact` is that of float32."""
    return _QUANTIZED.get(quantize, exact)


def largest_difference(served: Served, exported: Exported, tolerance: float) -> float:
    """The largest difference of logits between the network and an export of it.

    It is measured on random images, in units of the largest logit or of 1, whichever is
    larger. Raises ExportError if it, or that of probabilities, is more than `tolerance`
    or not a number, and NotFiniteError if a logit of the network is not finite.
    """
    rng = np.random.default_rng(0)
    differences = []
    for count in BATCHES:
        shape = (count, served.resize, served.resize, 3)
        images = served.prepare(rng.integers(0, 256, shape, np.uint8))
        expected, actual = served.run(images), exported(images)
        finite(expected["logits"])
        differences.append([_difference(actual[x], expected[x]) for x in OUTPUTS])
    largest = dict(zip(OUTPUTS, np.max(differences, axis=0), strict=True))
    for name, difference in largest.items():
        if not difference <= tolerance:
            raise ExportError(
                f"the exported model is not the network: {name} of random images "
                f"differ by {difference:.1e}, more than {tolerance:.1e}; nothing was "
                f"written"
            )
    return float(largest["logits"])


def _difference(actual: np.ndarray, expected: np.ndarray) -> float:
    if actual.shape != expected.shape:
        return float("inf")
    scale = max(1.0, float(np.abs(expected).max()))
    return float(np.abs(actual - expected).max()) / scale


def accuracies(
    served: Served,
    exported: Exported,
    paths: Sequence[pathlib.Path],
    labels: np.ndarray,
) -> tuple[np.floating, np.floating, np.floating]:
    """Accuracies of the network and of its export, and how often their classes agree.

    Raises UserError for a file that is not an image, and NotFiniteError if a logit, of
    either, is not finite.
    """
    classes = []
    for i in range(0, len(paths), _AT_ONCE):
        images = served.prepare(read(paths[i : i + _AT_ONCE], served.resize))
        logits = [finite(run(images)["logits"]) for run in (served.run, exported)]
        classes.append([x.argmax(axis=1) for x in logits])
    network, export = np.concatenate(classes, axis=1)
    right = np.mean(network == labels), np.mean(export == labels)
    return *right, np.mean(network == export)


def divided(
    paths: list[pathlib.Path], labels: np.ndarray
) -> tuple[list[pathlib.Path], tuple[list[pathlib.Path], np.ndarray]]:
    """Divides photographs into those to calibrate with, and those to measure with."""
    if len(paths) < 2:
        raise UserError("--quantize=int8 needs two photographs or more")
    every = max(2, -(-len(paths) // _CALIBRATING))
    rest = np.flatnonzero(np.arange(len(paths)) % every)
    return paths[::every], ([paths[i] for i in rest], labels[rest])


def read(paths: Sequence[pathlib.Path], side: int) -> np.ndarray:
    """Pixels of photographs, uint8 `[n, side, side, 3]`."""
    pixels = []
    for path in paths:
        try:
            pixels.append(decode(path.read_bytes(), side))
        except OSError as error:
            raise UserError(f"{path}: {error}") from error
    return np.stack(pixels)
