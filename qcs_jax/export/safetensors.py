"""One file of weights, for `qcs_jax.load` and for the published PyTorch code.

Names and layouts are those of PyTorch (of size `medium`, which is not published, like
them); what is known about the network lies beside them, see `checkpoint.weights`.
"""

from __future__ import annotations

import pathlib

from qcs_jax.checkpoint import Trained, weights
from qcs_jax.export.served import Exported, Served, write_labels

# What a file of weights says of an evaluation.
_EVALUATION = (
    *("dataset", "split", "examples", "metrics", "intervals", "per_class", "confusion"),
    "calibrated",
)


def write(served: Served, folder: pathlib.Path) -> None:
    """Writes `model.safetensors` and `labels.txt`; for errors see `weights.save`.

    The description in it is that of the checkpoint, with "chosen" (how the epoch was
    chosen), "temperature" if the logits were divided by one and, if the checkpoint was
    evaluated, its "evaluation".
    """
    trained = served.trained
    about = {"chosen": trained.chosen, **trained.description, "step": trained.step}
    about["preprocessing"] = about["preprocessing"] | {"landmarks": trained.landmarks}
    measured = trained.evaluation
    if served.quantize == "int8":  # another network, of which nothing was measured
        about.pop("evaluation", None)
    elif measured:
        about["evaluation"] = {x: measured[x] for x in _EVALUATION if x in measured}
    dtype = "float32" if served.quantize == "none" else served.quantize
    weights.save(folder / weights.FILE, trained.variables, about, dtype=dtype)
    write_labels(served, folder)


def load(folder: pathlib.Path) -> Exported:
    """Reads back what `write` wrote."""
    return Served(Trained.load(folder, branch="base"), folded=False).run
