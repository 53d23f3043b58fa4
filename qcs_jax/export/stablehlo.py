"""A StableHLO program of `jax.export`: one file that JAX alone can run.

JAX promises for a while that it can: see `PROMISE`.
"""

from __future__ import annotations

import pathlib

import jax
import jaxlib

from qcs_jax.export.served import (
    PLATFORMS,
    Exported,
    Served,
    no_source_locations,
    write_labels,
)
from qcs_jax.system.files import write_json

MODEL_FILE = "model.stablehlo"
ABOUT_FILE = "model.json"

# The compatibility guarantees of jax.export. They count from build to build: neither
# the day of the export nor that of a call matters.
PROMISE = (
    "JAX promises to run this program with every jaxlib that was built up to six "
    "months after the one that is named here, or up to three weeks before it"
)


def write(served: Served, folder: pathlib.Path) -> None:
    """Writes `model.stablehlo`, weights inside, `model.json` and `labels.txt`.

    The batch is symbolic; one program runs on all `PLATFORMS`. `model.json` says which
    versions wrote it, and how long others can be expected to run it.
    """

    def function(images: jax.Array) -> dict[str, jax.Array]:
        return served(served.variables, images)

    (batch,) = jax.export.symbolic_shape("b")
    with no_source_locations():
        export = jax.export.export(jax.jit(function), platforms=PLATFORMS)
        program = export(served.images(batch))
    (folder / MODEL_FILE).write_bytes(program.serialize())
    about = {
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "compatibility": PROMISE,
    }
    write_json(folder / ABOUT_FILE, about)
    write_labels(served, folder)


def load(folder: pathlib.Path) -> Exported:
    """Reads back what `write` wrote."""
    program = jax.export.deserialize(bytearray((folder / MODEL_FILE).read_bytes()))
    function = jax.jit(program.call)
    return lambda images: jax.device_get(function(images))
