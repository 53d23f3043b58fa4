"""A StableHLO program of `jax.export`: one file that JAX alone can run.

import jax

with open("OUT/model.stablehlo", "rb") as file:
    exported = jax.export.deserialize(bytearray(file.read()))
outputs = jax.jit(exported.call)(images)  # {"logits": ..., "probabilities": ...}
"""

from __future__ import annotations

import pathlib

import jax

from qcs_jax.export.served import (
    PLATFORMS,
    Run,
    Served,
    no_source_locations,
    write_labels,
)

FILE = "model.stablehlo"


def write(served: Served, folder: pathlib.Path) -> None:
    """Writes `model.stablehlo`, weights inside, and `labels.txt`.

    The batch is symbolic; one program runs on all `PLATFORMS`.

    Args:
      served: What to export.
      folder: An existing folder.
    """

    def function(images):
        return served(served.variables, images)

    (batch,) = jax.export.symbolic_shape("b")
    images = jax.ShapeDtypeStruct((batch, *served.image_shape), served.image_dtype)
    with no_source_locations():
        exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)(images)
    (folder / FILE).write_bytes(exported.serialize())
    write_labels(served, folder)


def load(folder: pathlib.Path) -> Run:
    """Reads back what `write` wrote."""
    exported = jax.export.deserialize(bytearray((folder / FILE).read_bytes()))
    function = jax.jit(exported.call)
    return lambda images: jax.device_get(function(images))
