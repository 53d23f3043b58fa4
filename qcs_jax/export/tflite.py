"""A TensorFlow Lite (LiteRT) model for phones and small boards, one image at a time.

Its operations are all built in. A symbolic batch would need operations that the
converter does not have.
"""

from __future__ import annotations

import os
import pathlib
import tempfile
import warnings

import numpy as np

from qcs_jax.export import savedmodel
from qcs_jax.export.served import OUTPUTS, Exported, Served, write_labels

MODEL_FILE = "model.tflite"


def write(served: Served, folder: pathlib.Path) -> None:
    """Writes `model.tflite`, signature `serving_default`, and `labels.txt`.

    "int8" stores the weights of matrices and convolutions in 8 bits and quantises what
    they multiply on the fly (dynamic range).
    """
    tf = savedmodel.import_tensorflow()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        savedmodel.write(served, pathlib.Path(scratch), batch=1)
        converter = tf.lite.TFLiteConverter.from_saved_model(scratch)
        if served.quantize != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if served.quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        model = converter.convert()
    (folder / MODEL_FILE).write_bytes(model)
    write_labels(served, folder)


def load(folder: pathlib.Path) -> Exported:
    """Reads back what `write` wrote; batches are run image by image."""
    tf = savedmodel.import_tensorflow()
    with warnings.catch_warnings():
        # It asks for ai_edge_litert, which would be one more package for one check.
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter")
        # As bytes: a folder with a file that is open cannot be renamed on Windows.
        model = (folder / MODEL_FILE).read_bytes()
        interpreter = tf.lite.Interpreter(
            model_content=model, num_threads=os.cpu_count()
        )
    run_one = interpreter.get_signature_runner(savedmodel.SIGNATURE)

    def run(images: np.ndarray) -> dict[str, np.ndarray]:
        outputs = [run_one(images=image[None]) for image in images]
        return {name: np.concatenate([x[name] for x in outputs]) for name in OUTPUTS}

    return run
