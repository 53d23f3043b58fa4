"""A StableHLO program of `jax.export`: one file that JAX alone can run."""

from __future__ import annotations

import pathlib

import jax

from qcs_jax.export.served import (
    PLATFORMS,
    Exported,
    Served,
    no_source_locations,
    write_labels,
)

MODEL_FILE = "model.stablehlo"


def write(served: Served, folder: pathlib.Path) -> None:
    """Writes `model.stablehlo`, weights inside, and `labels.txt`.

    The batch is symbolic; one program runs on all `PLATFORMS`.
    """

    def function(images: jax.Array) -> dict[str, jax.Array]:
        return served(served.variables, images)

    (batch,) = jax.export.symbolic_shape("b")
    with no_source_locations():
        export = jax.export.export(jax.jit(function), platforms=PLATFORMS)
        program = export(served.images(batch))
    (folder / MODEL_FILE).write_bytes(program.serialize())
    write_labels(served, folder)


def load(folder: pathlib.Path) -> Exported:
    """Reads back what `write` wrote."""
    program = jax.export.deserialize(bytearray((folder / MODEL_FILE).read_bytes()))
    function = jax.jit(program.call)
    return lambda images: jax.device_get(function(images))
