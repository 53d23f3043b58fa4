"""How a checkpoint lies on disk, and what may go wrong when it is read."""

from __future__ import annotations

import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from qcs_jax.checkpoint import digest
from qcs_jax.system.errors import UserError

FOLDER = "checkpoints"
ITEMS = ("params", "batch_stats", "train")


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or of something else."""


class DamagedError(CheckpointError):
    """One step cannot be read back as it was saved."""


def open_manager(
    directory: pathlib.Path, options: ocp.CheckpointManagerOptions
) -> ocp.CheckpointManager:
    handlers = {name: ocp.PyTreeCheckpointHandler() for name in ITEMS}
    handlers |= {name: ocp.JsonCheckpointHandler() for name in ("config", "digests")}
    return ocp.CheckpointManager(directory, options=options, item_handlers=handlers)


def read_config(manager: ocp.CheckpointManager, step: int) -> dict:
    args = ocp.args.Composite(
        config=ocp.args.JsonRestore(), digests=ocp.args.JsonRestore()
    )
    read = _restore(manager, step, args)
    _verify(manager, step, {"config": read["config"]}, read["digests"])
    return read["config"]


def read_items(manager: ocp.CheckpointManager, step: int, template: dict) -> dict:
    as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
    trees = {
        name: ocp.args.PyTreeRestore(
            tree, jax.tree.map(lambda _: as_numpy, tree), partial_restore=True
        )
        for name, tree in template.items()
    }
    args = ocp.args.Composite(**trees, digests=ocp.args.JsonRestore())
    read = _restore(manager, step, args)
    items = {name: read[name] for name in template}
    _verify(manager, step, items, read["digests"])
    return items


def _restore(manager: ocp.CheckpointManager, step: int, args: Any) -> Any:
    try:
        return manager.restore(step, args=args)
    except Exception as error:  # Orbax and TensorStore raise many kinds for bad files
        first_line = str(error).strip().partition("\n")[0][:200]
        raise DamagedError(
            f"checkpoint {manager.directory}/{step} cannot be read "
            f"({type(error).__name__}: {first_line})"
        ) from error


def saved_shapes(
    manager: ocp.CheckpointManager, step: int, names: tuple[str, ...]
) -> dict:
    try:
        metadata = manager.item_metadata(step)
        return {name: metadata[name].tree for name in names}
    except Exception as error:
        raise DamagedError(
            f"checkpoint {manager.directory}/{step} cannot be read: its metadata is "
            f"missing or damaged"
        ) from error


def _verify(
    manager: ocp.CheckpointManager, step: int, items: dict, digests: object
) -> None:
    wrong = digest.changed(items, digests)
    if wrong:
        raise DamagedError(
            f"checkpoint {manager.directory}/{step} is damaged: {len(wrong)} arrays, "
            f"{wrong[0]!r} among them, are not what was saved"
        )
