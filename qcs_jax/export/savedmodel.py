"""A TensorFlow SavedModel, made with jax2tf."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
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

_JAX = "0.10.2"  # the newest whose programs TensorFlow 2.21 can read

# What TensorFlow writes on every start; `TF_CPP_MIN_LOG_LEVEL` rules only a part of it.
_NOISE = (
    "[IW][0-9]{4} [0-9][0-9]:[0-9][0-9]:"  # information and warnings of Abseil
    "|INFO: "  # of TFLite
    "|WARNING: All log messages before absl::InitializeLog"
    "|E[0-9]{4} .*failed call to cuInit"  # there need not be a GPU
)


def import_tensorflow() -> ModuleType:
    """Imports TensorFlow; UserError without it, or beside a JAX that it cannot read."""
    # oneDNN runs nothing of what is exported, and greets at length.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        import tensorflow
    except ImportError as error:
        raise UserError(
            f"SavedModel and TFLite need TensorFlow ({error}): "
            f'pip install "qcs_jax[export]"; --format=stablehlo does without'
        ) from error
    if jax.__version__ != _JAX:
        raise UserError(
            f"TensorFlow reads what jax {_JAX} writes, and not jax {jax.__version__}: "
            f'pip install "qcs_jax[export]" in an environment of its own; '
            f"--format=stablehlo goes with any"
        )
    return tensorflow


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leaves TensorFlow's information and warnings out of standard error.

    Errors, and what Python prints, pass; all does if `TF_CPP_MIN_LOG_LEVEL` is 0. The
    filter is a process of its own, so the last words of a crash arrive, too.
    """
    grep = shutil.which("grep")
    if grep is None or os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        yield
        return
    screen = os.dup(2)
    reader = subprocess.Popen(
        [grep, "--text", "--line-buffered", "-vE", f"^({_NOISE})"],
        stdin=subprocess.PIPE,
        stdout=screen,
        env=os.environ | {"LC_ALL": "C"},
        start_new_session=True,  # Ctrl-C goes to whoever writes
    )
    assert reader.stdin
    os.dup2(reader.stdin.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(screen, 2)
        os.close(screen)
        # A process that was started meanwhile may keep the pipe open for ever.
        with contextlib.suppress(subprocess.TimeoutExpired):
            reader.communicate(timeout=5)


def write(served: Served, folder: pathlib.Path, *, batch: int | None = None) -> None:
    """Writes a SavedModel for a fixed number of images, or for any.

    Its signature `serving_default` takes `images` and gives `logits` and
    `probabilities`. The weights are variables. The class names are the asset
    `assets/labels.txt` and, once loaded, the attribute `class_names`. One program runs
    on all `PLATFORMS`.
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
    images = served.images(batch)
    images = tf.TensorSpec(images.shape, images.dtype, name="images")
    module = tf.Module()
    module.weights = jax.tree_util.tree_map_with_path(variable, served.variables)
    module.class_names = tf.Variable(served.trained.class_names, trainable=False)
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
