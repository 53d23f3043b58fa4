"""What every format exports: one function of the weights and of a batch of images.

A format is a file with two functions. `write(served, folder, options)` fills a folder
that is there, and raises UserError where a package is not installed; `load(folder)`
reads it back as an `Exported`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qcs_jax import models
from qcs_jax.checkpoint import AS_NAMED, Trained
from qcs_jax.images import augment
from qcs_jax.models.folded import fold
from qcs_jax.predict.classifier import Classifier
from qcs_jax.system.errors import UserError

# An exported model loaded back: images -> {"logits": [b, k], "probabilities": [b, k]}.
Exported = Callable[[np.ndarray], dict[str, np.ndarray]]

OUTPUTS = ("logits", "probabilities")
PLATFORMS = ("cpu", "cuda", "tpu")


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of formats beside the function; each reads those that concern it."""

    quantize: str = "none"  # "float16" halves the weights; for "int8" see the format
    trained: Trained | None = None  # a whole network or its base branch
    name: str = ""
    runtime: pathlib.Path | None = None  # folder of npm's package, for "web"
    examples: np.ndarray | None = None  # uint8 photographs, for "int8" of "onnx"


DEFAULT = Options()


def read_trained(path: str, *, whole: bool, calibrate: bool) -> Trained:
    """Reads a checkpoint, `whole` with its cross branch; see `calibrated`.

    Its description says how the epoch was chosen.
    """
    trained = Trained.load(path, branch="" if whole else "base")
    is_base = "cross" not in trained.variables["params"]
    if whole and is_base and trained.model.branches > 1:
        raise UserError(
            f"{path} is a base branch alone, with no cross branch to write: leave out "
            f"--whole"
        )
    if trained.chosen != AS_NAMED:
        description = trained.description | {"chosen": trained.chosen}
        trained = dataclasses.replace(trained, description=description)
    return calibrated(trained) if calibrate else trained


def calibrated(trained: Trained) -> Trained:
    """The network with its logits divided by the temperature of held-out images.

    The weights of the last layer of the base branch are divided: whatever is exported
    gives calibrated probabilities then. The description says so under "temperature".
    """
    scaled = (trained.evaluation or {}).get("calibrated")
    if not scaled:
        doubt = f" ({trained.doubt})" if trained.doubt else ""
        raise UserError(
            f"this network has no temperature{doubt}: evaluate its run with held-out "
            f"images, data.val_fraction or data.val_split, and export it again"
        )
    temperature = scaled["temperature"]
    if "temperature" in trained.description:
        raise UserError("the logits of this network are divided already: leave it out")
    base = trained.variables["params"]["base"]
    head = jax.tree.map(lambda x: x / temperature, base["vit"]["head"])
    base = {**base, "vit": {**base["vit"], "head": head}}
    params = {**trained.variables["params"], "base": base}
    variables = {**trained.variables, "params": params}
    # Its weights are not those that were evaluated any more.
    measured = {"temperature": temperature, "evaluation": trained.evaluation}
    description = trained.description | measured
    return dataclasses.replace(trained, variables=variables, description=description)


@dataclasses.dataclass(frozen=True, eq=False)  # hashed by identity, for jax.jit
class Served:
    """The base branch with or without the preprocessing in front of it."""

    model: models.QCS  # computes in float32
    variables: dict  # of the base branch, NumPy arrays
    class_names: tuple[str, ...]
    resize: int  # side of the square of a face, before anything here
    preprocess: bool  # whether centre crop and normalisation are part of the function

    @classmethod
    def of(
        cls,
        source: Classifier | Trained,
        *,
        preprocess: bool = True,
        folded: bool = True,
    ) -> Served:
        """Takes a base branch; one of bfloat16 is served in float32.

        Float32 is what all formats can do, and what can be compared to rounding.
        `folded` folds batch normalisation into the convolutions, which that of a
        classifier is already.
        """
        model = source.model.clone(dtype=jnp.float32)
        variables = jax.device_get(source.variables)
        if folded:
            model, variables = fold(model, variables)
        return cls(model, variables, source.class_names, source.resize, preprocess)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape of one image that goes in."""
        side = self.resize if self.preprocess else self.model.image_size
        return side, side, 3

    @property
    def image_dtype(self) -> np.dtype:
        """Of images that go in."""
        return np.dtype(np.uint8 if self.preprocess else np.float32)

    def __call__(self, variables: dict, images: jax.Array) -> dict[str, jax.Array]:
        """`[b, *image_shape]` RGB, or normalised RGB -> `OUTPUTS`, float32 `[b, k]`."""
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


def write_labels(served: Served, folder: pathlib.Path) -> pathlib.Path:
    """Writes the class names, one a line, in the order of the outputs."""
    path = folder / "labels.txt"
    path.write_text("".join(f"{name}\n" for name in served.class_names), "utf-8")
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
