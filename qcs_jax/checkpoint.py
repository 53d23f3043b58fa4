"""Checkpoints: saved with Orbax, verified when read, restorable on any device count.

A step's directory has the items `params` and `batch_stats` (all that inference reads),
`train` (step and optimizer state), `config` (what the checkpoint says about itself) and
`digests`, the SHA-256 of every array as it was in memory. Orbax returns flipped bits
without a word; the digests, written in the same atomic commit, do not let them pass.
"""

from __future__ import annotations

import contextlib
import logging
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging as absl_logging
from orbax.checkpoint import checkpoint_managers

from qcs_jax import about, digest
from qcs_jax.errors import UserError

FOLDER = "checkpoints"
_ITEMS = ("params", "batch_stats", "train")

logger = logging.getLogger(__name__)


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or of something else."""


class Checkpoints:
    """The checkpoints of one run, newest ones and the best.

    Use as a context manager: leaving it waits for the save under way.
    """

    def __init__(self, workdir: str | pathlib.Path, *, keep: int, metric: str):
        """Opens or creates `workdir/checkpoints` and removes unfinished saves.

        Args:
          workdir: Of the run.
          keep: How many of the newest to keep.
          metric: Name of the metric whose largest value marks the best.
        """
        self.directory = pathlib.Path(workdir).resolve() / FOLDER

        def value(metrics: dict[str, float]) -> float:
            return metrics[metric]

        policy = checkpoint_managers.AnyPreservationPolicy(
            [
                checkpoint_managers.LatestN(keep),
                checkpoint_managers.BestN(
                    get_metric_fn=value, n=1, keep_checkpoints_without_metrics=False
                ),
            ]
        )
        # Without best_fn Orbax writes no metrics and forgets the best when reopened.
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policy, best_fn=value, cleanup_tmp_directories=True
        )
        self._manager = _manager(self.directory, options)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *exception: object) -> None:
        self._manager.close()

    def save(
        self,
        step: int,
        items: dict[str, Any],
        description: dict,
        metrics: dict[str, float] | None = None,
    ) -> None:
        """Starts to save in the background; returns when `items` may change.

        Args:
          step: Number of steps taken.
          items: `params`, `batch_stats` and `train`, trees of arrays.
          description: See `about.describe`.
          metrics: Of this step; checkpoints without any are never the best.

        Raises:
          CheckpointError: if there is a checkpoint of this step or a later one.
        """
        items = jax.tree.map(np.asarray, jax.device_get(items))
        trees = {name: ocp.args.PyTreeSave(items[name]) for name in _ITEMS}
        saved = self._manager.save(
            step,
            args=ocp.args.Composite(
                **trees,
                config=ocp.args.JsonSave(description),
                digests=ocp.args.JsonSave(digest.of({**items, "config": description})),
            ),
            metrics=metrics,
        )
        if not saved:
            raise CheckpointError(
                f"step {step} was not saved: {self.directory} already has step "
                f"{self._manager.latest_step()}"
            )

    def wait(self) -> None:
        """Returns when everything is on disk."""
        self._manager.wait_until_finished()

    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def best(self) -> tuple[int, dict[str, float]] | None:
        """Step and metrics of the best checkpoint, if any has metrics."""
        step = self._manager.best_step()
        return None if step is None else (step, self._manager.metrics(step))

    def restore(
        self, template: dict[str, Any], description: dict
    ) -> tuple[dict[str, Any], dict] | None:
        """Reads the newest checkpoint that is whole.

        Damaged ones are reported, and moved out of the way into `damaged/`, so that
        the run can save those steps again.

        Args:
          template: `items` as given to `save`, or their shapes.
          description: What the run is; its network and classes must be those of the
            checkpoint.

        Returns:
          Items as NumPy arrays and the checkpoint's description, or None if there is
          no checkpoint.

        Raises:
          CheckpointError: if the checkpoints are of another network, or all damaged.
        """
        damaged = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                found = _read_config(self._manager, step)
                fix = "Give this run a --workdir of its own."
                about.check_same_network(self.directory, found, description, fix=fix)
                items = _read_items(self._manager, step, template)
            except _Damaged as error:
                logger.warning("%s; trying an older one", error)
                damaged.append(step)
                continue
            self._set_aside(damaged)
            return items, found
        if damaged:
            raise CheckpointError(
                f"every checkpoint in {self.directory} is damaged (steps {damaged}). "
                f"Delete that folder to start over, or restore it from a backup."
            )
        return None

    def _set_aside(self, steps: list[int]) -> None:
        for step in steps:
            target = self.directory.parent / "damaged" / str(step)
            target.parent.mkdir(exist_ok=True)
            while target.exists():
                target = target.with_name(f"{target.name}_")
            (self.directory / str(step)).rename(target)
            logger.warning("moved damaged checkpoint %d to %s", step, target)
        if steps:
            self._manager.reload()


def load_variables(
    path: str | pathlib.Path, *, step: int | None = None, branch: str = ""
) -> tuple[dict, dict, int]:
    """Reads parameters and running statistics, verified, as NumPy arrays.

    Args:
      path: A run's workdir, its `checkpoints` folder, or one step's folder.
      step: Which step; default the newest.
      branch: Read only this sub-tree of `params` and `batch_stats`; "base" is what
        inference needs. Default: all.

    Returns:
      `{"params": ..., "batch_stats": ...}`, the description, and the step.

    Raises:
      CheckpointError: if there is none, or it is damaged.
    """
    directory, named_step = _locate(pathlib.Path(path))
    step = named_step if step is None else step
    options = ocp.CheckpointManagerOptions(
        read_only=True, create=False, save_interval_steps=0
    )
    with _quiet(), _manager(directory, options) as manager:
        steps = sorted(manager.all_steps())
        step = steps[-1] if step is None and steps else step
        if step not in steps:
            raise CheckpointError(
                f"{directory} has no checkpoint of step {step}: it has {steps}"
                if steps
                else f"{directory} has no checkpoint"
            )
        description = _read_config(manager, step)
        template = _saved_shapes(manager, step, ("params", "batch_stats"))
        if branch:
            template = {name: {branch: tree[branch]} for name, tree in template.items()}
        return _read_items(manager, step, template), description, step


def run_folder(path: str | pathlib.Path) -> pathlib.Path:
    """The workdir that a path to a run, its checkpoints or one of them is in.

    Raises:
      CheckpointError: if there is no checkpoint.
    """
    return _locate(pathlib.Path(path))[0].parent


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Orbax warns of every directory that it is told only to read."""
    before = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.ERROR)
    try:
        yield
    finally:
        absl_logging.set_verbosity(before)


class _Damaged(CheckpointError):
    """One step cannot be read back as it was saved."""


def _manager(
    directory: pathlib.Path, options: ocp.CheckpointManagerOptions
) -> ocp.CheckpointManager:
    handlers = {name: ocp.PyTreeCheckpointHandler() for name in _ITEMS}
    handlers |= {name: ocp.JsonCheckpointHandler() for name in ("config", "digests")}
    return ocp.CheckpointManager(directory, options=options, item_handlers=handlers)


def _locate(path: pathlib.Path) -> tuple[pathlib.Path, int | None]:
    path = path.resolve()
    if (path / FOLDER).is_dir():
        return path / FOLDER, None
    if path.name.isdigit() and (path / "params").is_dir():
        return path.parent, int(path.name)
    if path.is_dir() and any(child.name.isdigit() for child in path.iterdir()):
        return path, None
    raise CheckpointError(
        f"no checkpoint at {path}: give the workdir of a run, its {FOLDER} folder, or "
        f"the folder of one step"
    )


def _read_config(manager: ocp.CheckpointManager, step: int) -> dict:
    args = ocp.args.Composite(
        config=ocp.args.JsonRestore(), digests=ocp.args.JsonRestore()
    )
    read = _restore(manager, step, args)
    _verify(manager, step, {"config": read["config"]}, read["digests"])
    return read["config"]


def _read_items(manager: ocp.CheckpointManager, step: int, template: dict) -> dict:
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
        raise _Damaged(
            f"checkpoint {manager.directory}/{step} cannot be read "
            f"({type(error).__name__}: {first_line})"
        ) from error


def _saved_shapes(
    manager: ocp.CheckpointManager, step: int, names: tuple[str, ...]
) -> dict:
    try:
        metadata = manager.item_metadata(step)
        return {name: metadata[name].tree for name in names}
    except Exception as error:
        raise _Damaged(
            f"checkpoint {manager.directory}/{step} cannot be read: its metadata is "
            f"missing or damaged"
        ) from error


def _verify(
    manager: ocp.CheckpointManager, step: int, items: dict, digests: object
) -> None:
    wrong = digest.changed(items, digests)
    if wrong:
        raise _Damaged(
            f"checkpoint {manager.directory}/{step} is damaged: {len(wrong)} arrays, "
            f"{wrong[0]!r} among them, are not what was saved"
        )
