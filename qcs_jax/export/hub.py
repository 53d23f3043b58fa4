"""A folder for the Hugging Face Hub: `hf upload OWNER/NAME FOLDER`.

`qcs_jax.load("hf:OWNER/NAME")` loads what was uploaded, see `checkpoint.hub`.
"""

from __future__ import annotations

import pathlib

from qcs_jax.checkpoint import Trained
from qcs_jax.export import card, check, onnx, safetensors
from qcs_jax.export.served import Served
from qcs_jax.system.errors import UserError
from qcs_jax.system.files import write_json

load = safetensors.load


def write(
    served: Served,
    folder: pathlib.Path,
    *,
    trained: Trained,
    name: str,
    quantize: str = "none",
) -> None:
    """Writes weights, ONNX, `config.json`, labels, and the model card `README.md`.

    Args:
      served: The base branch.
      folder: An existing folder.
      trained: What to write: a whole network or its base branch, evaluated.
      name: What the card calls it.
      quantize: Of all weights: "none", or "float16" for half the size.

    Raises:
      CheckpointError: see `weights.save`.
      UserError: if it was not evaluated.
    """
    told = card.text(trained, name)  # before the work
    safetensors.write(served, folder, trained=trained, quantize=quantize)
    (folder / "README.md").write_text(told, "utf-8")
    write_json(folder / "config.json", _config(served, trained))
    try:
        onnx.check_installed()
    except UserError as error:
        print(f"  note       no {onnx.MODEL_FILE}: {error}")
        return
    onnx.write(served, folder, quantize=quantize)
    tolerance = check.tolerance("onnx", quantize)
    check.largest_difference(served, onnx.load(folder), tolerance)


def _config(served: Served, trained: Trained) -> dict:
    """What other programs look for in a repository."""
    return {
        "library_name": "qcs_jax",
        "model_type": trained.config.model.name,
        "size": trained.config.model.size,
        "image_size": served.model.image_size,
        "resize": served.resize,
        "id2label": {str(i): name for i, name in enumerate(served.class_names)},
        "label2id": {name: i for i, name in enumerate(served.class_names)},
    }
