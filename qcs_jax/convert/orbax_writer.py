"""Writes a converted checkpoint as training would have saved it."""

from __future__ import annotations

import pathlib

import numpy as np
import optax

from qcs_jax import models
from qcs_jax.checkpoint import FOLDER, Checkpoints
from qcs_jax.checkpoint.description import describe
from qcs_jax.config import base_config
from qcs_jax.convert.conversion import Conversion
from qcs_jax.images.datasets import CLASS_NAMES
from qcs_jax.system import files
from qcs_jax.system.errors import UserError

# Number of classes -> the data set that a published checkpoint is assumed to be of, its
# classes, and the size of its images before the centre crop.
ASSUMED: dict[int, tuple[str, tuple[str, ...], int]] = {
    7: ("RAF-DB", CLASS_NAMES["raf_db"], 224),
    8: ("AffectNet", CLASS_NAMES["affectnet/8"], 236),
}


def save_orbax(
    out: pathlib.Path,
    conversion: Conversion,
    residual: str,
    class_names: tuple[str, ...],
    resize: int,
    overwrite: bool,
) -> None:
    """Writes `out/checkpoints/0`, with a fresh optimizer; all of it or nothing.

    Args:
      out: A new folder; `qcs_jax.load`, `config.init_from` and, as the start of a run,
        `--workdir` accept it.
      conversion: A network whose size has a name.
      residual: The value of `config.model.residual`.
      class_names: In the order of the logits.
      resize: Side of the square that images are resized to before the centre crop.
      overwrite: Whether `out` may hold an earlier conversion. Nothing else is ever
        replaced.

    Raises:
      UserError: if there is something at `out` already.
      OSError: if it cannot be written.
    """
    check_target(out, overwrite)
    config = base_config()
    config.name = out.name
    config.model.name = conversion.network
    config.model.size = conversion.size_name
    config.model.residual = residual
    config.data.resize = resize
    image_size = models.SIZES[conversion.size_name]["image_size"]
    description = describe(config, class_names, image_size)
    # Training resumes with Adam, whose fresh state does not depend on its settings.
    optimizer = optax.adam(1.0)
    opt_state = optimizer.init(conversion.variables["params"])
    train = {"step": np.int32(0), "opt_state": opt_state}
    with (
        files.new_folder(out) as folder,
        Checkpoints(folder, keep=1, metric="accuracy") as checkpoints,
    ):
        checkpoints.save(0, {**conversion.variables, "train": train}, description)


def check_target(out: pathlib.Path, overwrite: bool) -> None:
    """Raises UserError unless `out` is free, or an earlier conversion to replace."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(f"{out} is not a folder: give another --out")
    found = {child.name for child in out.iterdir()} if out.exists() else set()
    if not found:
        return
    steps = {child.name for child in (out / FOLDER).glob("*")}
    if found != {FOLDER} or steps != {"0"}:
        some = ", ".join(sorted(found)[:5]) + (", ..." if len(found) > 5 else "")
        raise UserError(
            f"{out} holds something else than an earlier conversion ({some}): "
            f"give another --out"
        )
    if not overwrite:
        raise UserError(f"{out} holds a checkpoint: give another --out or --overwrite")
