"""One file of weights, for `qcs_jax.load` and for the published PyTorch code.

Names and layouts are those of PyTorch; what is known about the network lies beside
them, see `checkpoint.weights`.
"""

from __future__ import annotations

import pathlib

from qcs_jax.checkpoint import Trained, weights
from qcs_jax.export.served import Exported, Served, write_labels

# Of an evaluation: what a file of weights tells about its network.
_TOLD = (
    *("dataset", "split", "examples", "metrics", "intervals", "per_class", "confusion"),
    "calibrated",
)


def write(
    served: Served, folder: pathlib.Path, *, trained: Trained, quantize: str = "none"
) -> None:
    """Writes `model.safetensors` and `labels.txt`.

    The description in it is that of the checkpoint, with "chosen" (how the epoch was
    chosen), "temperature" if the logits were divided by one and, if the checkpoint was
    evaluated, its "evaluation".

    Args:
      served: The base branch of what is written.
      folder: An existing folder.
      trained: What to write: a whole network or its base branch.
      quantize: "none", or "float16" for half the size.

    Raises:
      CheckpointError: see `weights.save`.
    """
    dtype = "float16" if quantize == "float16" else "float32"
    weights.save(folder / weights.FILE, trained.variables, _about(trained), dtype=dtype)
    write_labels(served, folder)


def _about(trained: Trained) -> dict:
    """The description of a network that leaves its run."""
    description = trained.description | {"step": trained.step}
    if evaluation := trained.evaluation:
        told = {name: evaluation[name] for name in _TOLD if name in evaluation}
        description["evaluation"] = told
    preprocessing = description["preprocessing"] | {"landmarks": trained.landmarks}
    return description | {"preprocessing": preprocessing}


def load(folder: pathlib.Path) -> Exported:
    """Reads back what `write` wrote."""
    return Served.of(Trained.load(folder, branch="base"), folded=False).run
