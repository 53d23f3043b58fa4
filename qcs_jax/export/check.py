"""Whether an exported model says what the network says."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from qcs_jax.evaluate.counts import finite
from qcs_jax.export.served import OUTPUTS, Exported, Served
from qcs_jax.images.decode import decode
from qcs_jax.system.errors import UserError

BATCHES = (1, 3, 8)

# Of a float32 model, and of one whose weights are of fewer bits: those differ by what
# they differ, and their bounds only catch what is broken.
_EXACT = {
    "savedmodel": 1e-5,
    "stablehlo": 1e-5,
    "tflite": 1e-4,
    "onnx": 2e-5,
    "web": 2e-5,
    "safetensors": 1e-6,
    "hub": 1e-6,
}
_QUANTIZED = {"float16": 0.05, "int8": 0.5}

_AT_ONCE = 32  # photographs in memory


class ExportError(UserError):
    """An exported model does not say what the network says."""


def tolerance(format: str, quantize: str = "none") -> float:
    """How much a format may differ from the network; see `largest_difference`."""
    return _QUANTIZED.get(quantize, _EXACT[format])


def largest_difference(served: Served, exported: Exported, tolerance: float) -> float:
    """Compares an exported model with the network, on random images.

    Args:
      served: The network.
      exported: The exported model, loaded from disk.
      tolerance: Largest difference of logits, in units of the largest logit or of 1,
        whichever is larger. Probabilities may differ as much.

    Returns:
      The largest difference of logits in the same units.

    Raises:
      ExportError: if a difference is larger, or not a number.
      NotFiniteError: if a logit of the network is not finite.
    """
    rng = np.random.default_rng(0)
    differences = []
    for count in BATCHES:
        shape = (count, served.resize, served.resize, 3)
        images = served.prepare(rng.integers(0, 256, shape, np.uint8))
        expected, found = served.run(images), exported(images)
        finite(expected["logits"])
        differences.append([_difference(found[x], expected[x]) for x in OUTPUTS])
    largest = dict(zip(OUTPUTS, np.max(differences, axis=0), strict=True))
    for name, difference in largest.items():
        if not difference <= tolerance:
            raise ExportError(
                f"the exported model is not the network: {name} of random images "
                f"differ by {difference:.1e}, more than {tolerance:.1e}; nothing was "
                f"written"
            )
    return float(largest["logits"])


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    if found.shape != expected.shape:
        return float("inf")
    scale = max(1.0, float(np.abs(expected).max()))
    return float(np.abs(found - expected).max()) / scale


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Accuracy of the network and of its export on the same images, in [0, 1].

    Attributes:
      count: Number of images.
      network: Accuracy in JAX.
      exported: Accuracy of the exported model.
      agreement: How often both give the same class.
    """

    count: int
    network: float
    exported: float
    agreement: float


def measure(
    served: Served,
    exported: Exported,
    paths: Sequence[pathlib.Path],
    labels: np.ndarray,
) -> Accuracy:
    """Measures the accuracy of the network and of its export.

    Args:
      served: The network.
      exported: The exported model.
      paths: n image files.
      labels: Their classes, int `[n]`.

    Raises:
      UserError: for a file that is not an image.
      NotFiniteError: if a logit, of either, is not finite.
    """
    answers = []
    for i in range(0, len(paths), _AT_ONCE):
        pixels = [read(path, served.resize) for path in paths[i : i + _AT_ONCE]]
        images = served.prepare(np.stack(pixels))
        outputs = served.run(images), exported(images)
        logits = [finite(output["logits"]) for output in outputs]
        answers.append([x.argmax(axis=1) for x in logits])
    ours, theirs = np.concatenate(answers, axis=1)
    return Accuracy(
        len(labels),
        float(np.mean(ours == labels)),
        float(np.mean(theirs == labels)),
        float(np.mean(ours == theirs)),
    )


def read(path: pathlib.Path, side: int) -> np.ndarray:
    try:
        return decode(path.read_bytes(), side)
    except OSError as error:
        raise UserError(f"{path}: {error}") from error
