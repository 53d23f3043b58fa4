"""A TensorFlow SavedModel, made with jax2tf."""

from __future__ import annotations

import os
import pathlib
import tempfile
from types import ModuleType

import jax
import numpy as np

from qcs_jax.export.served import (
    PLATFORMS,
    Exported,
    Served,
    no_source_locations,
    write_labels,
)
from qcs_jax.system.errors import UserError

SIGNATURE = "serving_default"


def import_tensorflow() -> ModuleType:
    """Imports TensorFlow, which nothing but this package needs.

    Raises:
      UserError: if it is not installed.
    """
    # oneDNN runs nothing of what is exported, and greets at length.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        import tensorflow
    except ImportError as error:
        raise UserError(
            f"SavedModel and TFLite need TensorFlow ({error}): "
            f'pip install "qcs_jax[export]"; --format=stablehlo does without'
        ) from error
    return tensorflow


def write(served: Served, folder: pathlib.Path, *, batch: int | None = None) -> None:
    """Writes a SavedModel.

    Its signature `serving_default` takes `images` and gives `logits` and
    `probabilities`. The weights are variables. The class names are the asset
    `assets/labels.txt` and, once loaded, the attribute `class_names`. One program runs
    on all `PLATFORMS`.

    Args:
      served: What to export.
      folder: An existing, empty folder.
      batch: A fixed number of images; default any.

    Raises:
      UserError: if TensorFlow is not installed.
    """
    tf = import_tensorflow()
    from jax.experimental import jax2tf

    def variable(path: tuple, value: np.ndarray) -> object:
        return tf.Variable(value, name="/".join(entry.key for entry in path))

    function = jax2tf.convert(
        served,
        polymorphic_shapes=None if batch else (None, "b, ..."),
        with_gradient=False,
        native_serialization_platforms=PLATFORMS,
    )
    shape = (batch, *served.image_shape)
    images = tf.TensorSpec(shape, served.image_dtype, name="images")
    module = tf.Module()
    module.weights = jax.tree_util.tree_map_with_path(variable, served.variables)
    module.class_names = tf.Variable(served.class_names, trainable=False)
    module.serve = tf.function(
        lambda images: function(module.weights, images),
        input_signature=[images],
        autograph=False,
    )
    with tempfile.TemporaryDirectory() as scratch, no_source_locations():
        labels = write_labels(served, pathlib.Path(scratch))
        module.labels = tf.saved_model.Asset(str(labels))
        tf.saved_model.save(module, str(folder), signatures={SIGNATURE: module.serve})


def load(folder: pathlib.Path) -> Exported:
    """Reads back what `write` wrote."""
    tf = import_tensorflow()
    # Kept whole by `run`: its variables live as long as the object.
    module = tf.saved_model.load(str(folder))

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        outputs = module.signatures[SIGNATURE](images=tf.constant(images))
        return {name: x.numpy() for name, x in outputs.items()}

    return run
