"""What every format exports: one function of the weights and of a batch of images.

A format is a file with two functions. `write(served, folder)` fills a folder that is
there, and raises UserError where a package is not installed; `load(folder)` reads it
back as an `Exported`. The command compares that with the network.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qcs_jax import models
from qcs_jax.checkpoint import Trained
from qcs_jax.evaluate.counts import finite
from qcs_jax.images import augment
from qcs_jax.images.decode import decode
from qcs_jax.models.folded import fold
from qcs_jax.system.errors import UserError
from qcs_jax.system.files import write_text

# An exported model loaded back: images -> {"logits": [b, k], "probabilities": [b, k]}.
Exported = Callable[[np.ndarray], dict[str, np.ndarray]]

OUTPUTS = ("logits", "probabilities")
PLATFORMS = ("cpu", "cuda", "tpu")
BATCHES = (1, 3, 8)  # random images that an export is compared on

# Weights of fewer bits differ by what they differ: this only catches what is broken.
_QUANTIZED = {"float16": 0.05, "int8": 0.5}
_AT_ONCE = 32  # photographs in memory


class ExportError(UserError):
    """An exported model does not say what the network says."""


@dataclasses.dataclass(frozen=True, eq=False)  # hashed by identity, for jax.jit
class Served:
    """The base branch of a network as a function, and how formats store it.

    It computes in float32, whatever the network does: that is what all formats can do,
    and what can be compared to rounding.

    Attributes:
      trained: A whole network, or its base branch.
      preprocess: Whether centre crop and normalisation are part of the function.
      folded: Whether batch normalisation is folded into the convolutions.
      quantize: "float16" halves the weights; for "int8" see the format.
      name: What a page or a model card calls the network.
      runtime: Folder of npm's package, for "web".
      examples: uint8 photographs `[n, resize, resize, 3]`, for "int8" of "onnx".
    """

    trained: Trained
    preprocess: bool = True
    folded: bool = True
    quantize: str = "none"
    name: str = ""
    runtime: pathlib.Path | None = None
    examples: np.ndarray | None = None

    @functools.cached_property
    def _network(self) -> tuple[models.QCS, dict]:
        model = self.trained.model.clone(dtype=jnp.float32)
        variables = self.trained.variables
        base = {kind: {"base": tree["base"]} for kind, tree in variables.items()}
        return fold(model, base) if self.folded else (model, base)

    @property
    def model(self) -> models.QCS:
        """The network, in float32."""
        return self._network[0]

    @property
    def variables(self) -> dict:
        """Weights of its base branch, NumPy arrays."""
        return self._network[1]

    def images(self, batch: Any) -> jax.ShapeDtypeStruct:
        """Shape `[batch, side, side, 3]` and type of what goes in."""
        side = self.trained.resize if self.preprocess else self.model.image_size
        dtype = np.uint8 if self.preprocess else np.float32
        return jax.ShapeDtypeStruct((batch, side, side, 3), dtype)

    def tolerance(self, exact: float) -> float:
        """How much an export may differ; `exact` is for weights in float32."""
        return _QUANTIZED.get(self.quantize, exact)

    def __call__(self, variables: dict, images: jax.Array) -> dict[str, jax.Array]:
        """`images`, RGB or normalised RGB -> `OUTPUTS`, float32 `[b, k]`."""
        if self.preprocess:
            images = augment.preprocess(images, self.model.image_size)
        logits: Any = self.model.apply(variables, images)
        return dict(zip(OUTPUTS, (logits, jax.nn.softmax(logits)), strict=True))

    def prepare(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 `[b, resize, resize, 3]` -> images for the function."""
        if self.preprocess:
            return pixels
        images = augment.preprocess(jnp.asarray(pixels), self.model.image_size)
        return np.asarray(images)

    @functools.cached_property
    def run(self) -> Exported:
        """The function in JAX, which exported models are compared with."""
        function = jax.jit(self.__call__)
        return lambda images: jax.device_get(function(self.variables, images))


def largest_difference(served: Served, exported: Exported, tolerance: float) -> float:
    """The largest difference of logits between the network and an export of it.

    It is measured on random images, in units of the largest logit or of 1, whichever is
    larger.

    Raises:
      ExportError: if it, or that of probabilities, is more than `tolerance`, or not a
        number.
      NotFiniteError: if a logit of the network is not finite.
    """
    rng, side = np.random.default_rng(0), served.trained.resize
    differences = []
    for count in BATCHES:
        pixels = rng.integers(0, 256, (count, side, side, 3), np.uint8)
        images = served.prepare(pixels)
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

    Raises:
      UserError: for a file that is not an image.
      NotFiniteError: if a logit, of either, is not finite.
    """
    classes = []
    for i in range(0, len(paths), _AT_ONCE):
        pixels = read_pixels(paths[i : i + _AT_ONCE], served.trained.resize)
        images = served.prepare(pixels)
        logits = [finite(run(images)["logits"]) for run in (served.run, exported)]
        classes.append([x.argmax(axis=1) for x in logits])
    network, export = np.concatenate(classes, axis=1)
    right = np.mean(network == labels), np.mean(export == labels)
    return *right, np.mean(network == export)


def read_pixels(paths: Sequence[pathlib.Path], side: int) -> np.ndarray:
    """Decodes photographs to uint8 `[n, side, side, 3]`; UserError if one is none."""
    pixels = []
    for path in paths:
        try:
            pixels.append(decode(path.read_bytes(), side))
        except OSError as error:
            raise UserError(f"{path}: {error}") from error
    return np.stack(pixels)


def write_labels(served: Served, folder: pathlib.Path) -> pathlib.Path:
    """Writes the class names, one a line, in the order of the outputs."""
    path = folder / "labels.txt"
    names = served.trained.class_names
    write_text(path, "".join(f"{name}\n" for name in names))
    return path


@contextlib.contextmanager
def no_source_locations() -> Iterator[None]:
    """Keeps paths of source files here out of what is lowered inside."""
    name = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, name)
    jax.config.update(name, 0)
    try:
        yield
    finally:
        jax.config.update(name, before)
