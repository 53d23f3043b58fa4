"""What every format exports: one function of the weights and of a batch of images."""

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
from qcs_jax.checkpoint import Trained
from qcs_jax.images import augment
from qcs_jax.models.folded import fold
from qcs_jax.predict.classifier import Classifier
from qcs_jax.system.errors import UserError

# An exported model loaded back: images -> {"logits": [b, k], "probabilities": [b, k]}.
Exported = Callable[[np.ndarray], dict[str, np.ndarray]]

OUTPUTS = ("logits", "probabilities")
PLATFORMS = ("cpu", "cuda", "tpu")
LABELS = "labels.txt"


@dataclasses.dataclass(frozen=True, eq=False)  # hashed by identity, for jax.jit
class Served:
    """The base branch with or without the preprocessing in front of it.

    Attributes:
      model: The network, computing in float32.
      variables: The base branch, NumPy arrays.
      class_names: k names, in the order of the outputs.
      resize: Side of the square that faces are resized to, before anything here.
      preprocess: Whether centre crop and normalisation are part of the function.
    """

    model: models.QCS
    variables: dict
    class_names: tuple[str, ...]
    resize: int
    preprocess: bool

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

        Args:
          source: Where the base branch is from.
          preprocess: See above.
          folded: Fold batch normalisation into the convolutions. That of a classifier
            is folded already.
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
        return np.dtype(np.uint8 if self.preprocess else np.float32)

    def __call__(self, variables: dict, images: jax.Array) -> dict[str, jax.Array]:
        """The function; traceable.

        Args:
          variables: As `self.variables`.
          images: `[b, *image_shape]` of `image_dtype`: RGB, or normalised RGB.

        Returns:
          `OUTPUTS`, float32 `[b, k]` each.
        """
        if self.preprocess:
            images = augment.preprocess(images, self.model.image_size)
        logits: Any = self.model.apply(variables, images)
        return dict(zip(OUTPUTS, (logits, jax.nn.softmax(logits)), strict=True))

    def prepare(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 `[b, resize, resize, 3]` -> images for the function."""
        if self.preprocess:
            return pixels
        return np.asarray(
            augment.preprocess(jnp.asarray(pixels), self.model.image_size)
        )

    @functools.cached_property
    def run(self) -> Exported:
        """The function in JAX, which exported models are compared with."""
        function = jax.jit(self.__call__)
        return lambda images: jax.device_get(function(self.variables, images))


def calibrated(trained: Trained) -> Trained:
    """The network with its logits divided by the temperature of held-out images.

    The weights of the last layer of the base branch are divided: whatever is exported
    gives calibrated probabilities then. The description says so under "temperature".

    Raises:
      UserError: if there is no temperature, or it is applied already.
    """
    measured = (trained.evaluation or {}).get("calibrated")
    if not measured:
        doubt = f" ({trained.doubt})" if trained.doubt else ""
        raise UserError(
            f"this network has no temperature{doubt}: evaluate its run with held-out "
            f"images, data.val_fraction or data.val_split, and export it again"
        )
    temperature = measured["temperature"]
    if "temperature" in trained.description:
        raise UserError("the logits of this network are divided already: leave it out")
    base = trained.variables["params"]["base"]
    head = jax.tree.map(lambda x: x / temperature, base["vit"]["head"])
    base = {**base, "vit": {**base["vit"], "head": head}}
    params = {**trained.variables["params"], "base": base}
    return dataclasses.replace(
        trained,
        variables={**trained.variables, "params": params},
        description=trained.description
        # Its weights are not those that were evaluated any more.
        | {"temperature": temperature, "evaluation": trained.evaluation},
    )


def write_labels(served: Served, folder: pathlib.Path) -> pathlib.Path:
    """Writes the class names, one a line, in the order of the outputs."""
    path = folder / LABELS
    path.write_text("".join(f"{name}\n" for name in served.class_names), "utf-8")
    return path


@contextlib.contextmanager
def no_source_locations() -> Iterator[None]:
    """Keeps paths of this machine's source files out of what is lowered inside."""
    name = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, name)
    jax.config.update(name, 0)
    try:
        yield
    finally:
        jax.config.update(name, before)
