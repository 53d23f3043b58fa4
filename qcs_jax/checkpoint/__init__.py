"""Checkpoints: saved with Orbax, verified when read, restorable on any device count.

What is loaded may also be one file of weights, see `weights`. `saving`, which needs
Orbax, takes a second to import.

A step's directory has the items `params` and `batch_stats` (all that inference reads),
`train` (step and optimizer state), `config` (what the checkpoint says about itself) and
`digests`, the SHA-256 of every array as it was in memory. Orbax returns flipped bits
without a word; the digests, written in the same atomic commit, do not let them pass.
"""

from qcs_jax.checkpoint.description import CheckpointError, NotSavedError
from qcs_jax.checkpoint.trained import (
    AS_NAMED,
    FOLDER,
    Trained,
    choose_step,
    load_variables,
    newest_step,
)

__all__ = [
    "AS_NAMED",
    "FOLDER",
    "CheckpointError",
    "NotSavedError",
    "Trained",
    "choose_step",
    "load_variables",
    "newest_step",
]
