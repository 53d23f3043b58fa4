"""A folder for the Hugging Face Hub: `hf upload OWNER/NAME FOLDER`.

`qcs_jax.load("hf:OWNER/NAME")` loads what was uploaded, see `checkpoint.hub`.
"""

from __future__ import annotations

import pathlib

from qcs_jax.export import card, check, onnx, safetensors
from qcs_jax.export.served import Options, Served
from qcs_jax.system.errors import UserError
from qcs_jax.system.files import write_json

load = safetensors.load


def write(served: Served, folder: pathlib.Path, options: Options) -> None:
    """Writes weights, ONNX, `config.json`, labels, and the model card `README.md`.

    Raises:
      CheckpointError: see `weights.save`.
      UserError: if the network was not evaluated.
    """
    trained = options.trained
    assert trained, "the card is about the network"
    text = card.model_card(trained, options.name)  # before the work
    safetensors.write(served, folder, options)
    (folder / "README.md").write_text(text, "utf-8")
    config = {  # what other programs look for in a repository
        "library_name": "qcs_jax",
        "model_type": trained.config.model.name,
        "size": trained.config.model.size,
        "image_size": served.model.image_size,
        "resize": served.resize,
        "id2label": {str(i): name for i, name in enumerate(served.class_names)},
        "label2id": {name: i for i, name in enumerate(served.class_names)},
    }
    write_json(folder / "config.json", config)
    try:
        onnx.check_installed()
    except UserError as error:
        print(f"  note       no {onnx.MODEL_FILE}: {error}")
        return
    onnx.write(served, folder, options)
    tolerance = check.bound(onnx.TOLERANCE, options.quantize)
    check.largest_difference(served, onnx.load(folder), tolerance)
