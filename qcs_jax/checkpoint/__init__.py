"""Checkpoints: saved with Orbax, verified when read, restorable on any device count.

A step's directory has the items `params` and `batch_stats` (all that inference reads),
`train` (step and optimizer state), `config` (what the checkpoint says about itself) and
`digests`, the SHA-256 of every array as it was in memory. Orbax returns flipped bits
without a word; the digests, written in the same atomic commit, do not let them pass.
"""

from qcs_jax.checkpoint.saving import Checkpoints
from qcs_jax.checkpoint.storage import FOLDER, CheckpointError
from qcs_jax.checkpoint.trained import (
    AS_NAMED,
    Trained,
    choose_step,
    load_variables,
)

__all__ = [
    "AS_NAMED",
    "FOLDER",
    "CheckpointError",
    "Checkpoints",
    "Trained",
    "choose_step",
    "load_variables",
]
