"""Whether an exported model says what the network says."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from qcs_jax.export.served import OUTPUTS, Run, Served
from qcs_jax.images.decode import EXTENSIONS, decode
from qcs_jax.system.errors import UserError

BATCHES = (1, 3, 8)

_AT_ONCE = 32  # photographs in memory


class ExportError(UserError):
    """An exported model does not say what the network says."""


def compare(served: Served, run: Run, tolerance: float) -> float:
    """Compares an exported model with the network, on random images.

    Args:
      served: The network.
      run: The exported model, loaded from disk.
      tolerance: Largest difference of logits, in units of the largest logit or of 1,
        whichever is larger. Probabilities may differ as much.

    Returns:
      The largest difference of logits in the same units.

    Raises:
      ExportError: if a difference is larger, or not a number.
    """
    rng = np.random.default_rng(0)
    worst = dict.fromkeys(OUTPUTS, 0.0)
    for count in BATCHES:
        shape = (count, served.resize, served.resize, 3)
        pixels = rng.integers(0, 256, shape, np.uint8)
        batch = served.prepare(pixels)
        expected, found = served.run(batch), run(batch)
        for name in OUTPUTS:
            difference = _largest_difference(found[name], expected[name])
            # The new one first: what is not a number must not be dropped.
            worst[name] = float(np.maximum(difference, worst[name]))
    for name, difference in worst.items():
        if not difference <= tolerance:
            raise ExportError(
                f"the exported model is not the network: {name} of random images "
                f"differ by {difference:.1e}, more than {tolerance:.1e}; nothing was "
                f"written"
            )
    return worst["logits"]


def _largest_difference(found: np.ndarray, expected: np.ndarray) -> float:
    if found.shape != expected.shape:
        return float("inf")
    scale = max(1.0, float(np.abs(expected).max()))
    return float(np.abs(found - expected).max()) / scale


@dataclasses.dataclass(frozen=True)
class Photographs:
    """Labelled images on disk, `FOLDER/CLASS/*`.

    Attributes:
      paths: n files.
      labels: Their classes, int `[n]`.
    """

    paths: Sequence[pathlib.Path]
    labels: np.ndarray

    @classmethod
    def find(cls, folder: pathlib.Path, class_names: Sequence[str]) -> Photographs:
        """Lists them.

        Raises:
          UserError: if there are none, or a folder is not named as a class.
        """
        found = sorted(p for p in folder.glob("*/*") if p.suffix.lower() in EXTENSIONS)
        unknown = sorted({path.parent.name for path in found} - set(class_names))
        if unknown or not found:
            fault = f"has the folders {', '.join(unknown)}" if unknown else "has none"
            raise UserError(
                f"--images={folder} {fault}: give a folder of CLASS/*.jpg, where the "
                f"classes are {', '.join(class_names)}"
            )
        labels = [class_names.index(path.parent.name) for path in found]
        return cls(found, np.asarray(labels))

    def pixels(self, side: int) -> Iterator[np.ndarray]:
        """Batches of uint8 `[b, side, side, 3]`.

        Raises:
          UserError: for what is not an image.
        """
        for i in range(0, len(self.paths), _AT_ONCE):
            paths = self.paths[i : i + _AT_ONCE]
            yield np.stack([_pixels(path, side) for path in paths])


def _pixels(path: pathlib.Path, side: int) -> np.ndarray:
    try:
        return decode(path.read_bytes(), side)
    except OSError as error:
        raise UserError(f"{path}: {error}") from error


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Of the network and of its export on the same images, in [0, 1].

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


def measure(served: Served, run: Run, photographs: Photographs) -> Accuracy:
    """Accuracy of the network and of its export."""
    ours, theirs = [], []
    for pixels in photographs.pixels(served.resize):
        batch = served.prepare(pixels)
        ours.append(served.run(batch)["logits"].argmax(axis=1))
        theirs.append(run(batch)["logits"].argmax(axis=1))
    ours, theirs = np.concatenate(ours), np.concatenate(theirs)
    return Accuracy(
        len(ours),
        float(np.mean(ours == photographs.labels)),
        float(np.mean(theirs == photographs.labels)),
        float(np.mean(ours == theirs)),
    )
