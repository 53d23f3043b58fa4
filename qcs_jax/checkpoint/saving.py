"""The checkpoints of a run that is being trained."""

from __future__ import annotations

import contextlib
import logging
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers

from qcs_jax.checkpoint.description import check_same_network
from qcs_jax.checkpoint.errors import CheckpointError, DamagedError, NotSavedError
from qcs_jax.checkpoint.storage import (
    ITEMS,
    digests_of,
    open_manager,
    read_description,
    read_items,
)
from qcs_jax.checkpoint.trained import FOLDER, newest_step

logger = logging.getLogger(__name__)

_BESIDES = 2**20  # bytes of a checkpoint that are not arrays, at most


class Checkpoints:
    """The checkpoints of one run, newest ones and the best.

    Use as a context manager: leaving it waits for the save under way.
    """

    def __init__(self, workdir: str | pathlib.Path, *, keep: int, metric: str):
        """Opens or creates `workdir/checkpoints` and removes unfinished saves.

        Args:
          workdir: The run's workdir.
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
        self._options = ocp.CheckpointManagerOptions(
            preservation_policy=policy, best_fn=value, cleanup_tmp_directories=True
        )
        self._manager = open_manager(self.directory, self._options)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._told():
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
          description: See `describe`.
          metrics: Metrics of this step; checkpoints without any are never the best.

        Raises:
          NotSavedError: if it cannot be written, or would not fit on the disk. Those
            before are whole, and others can be saved.
          CheckpointError: if there is a checkpoint of this step or a later one; or, in
            several processes, if this one cannot write it.
        """
        items = jax.tree.map(np.asarray, jax.device_get(items))
        try:
            self.wait()
        except NotSavedError as error:  # the one before; this one may succeed
            logger.warning("%s", error)
        self._check_space(step, items)
        trees = {name: ocp.args.PyTreeSave(items[name]) for name in ITEMS}
        hashed = {**items, "config": description}
        if metrics is not None:
            hashed["metrics"] = metrics = {k: float(x) for k, x in metrics.items()}
        with self._told():
            saved = self._manager.save(
                step,
                args=ocp.args.Composite(
                    **trees,
                    config=ocp.args.JsonSave(description),
                    digests=ocp.args.JsonSave(digests_of(hashed)),
                ),
                metrics=metrics,
            )
        if not saved:
            raise CheckpointError(
                f"step {step} was not saved: {self.directory} already has step "
                f"{self._manager.latest_step()}"
            )

    def wait(self) -> None:
        """Returns when everything is on disk.

        Raises:
          NotSavedError: if it could not be written.
        """
        with self._told():
            self._manager.wait_until_finished()

    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def _check_space(self, step: int, items: dict[str, Any]) -> None:
        # Orbax would fail in the background, half-way.
        needed = sum(x.nbytes for x in jax.tree.leaves(items)) + _BESIDES
        with self._told():
            free = shutil.disk_usage(self.directory).free
        fits = np.bool_(free >= needed)
        if jax.process_count() > 1:  # all save, or none
            fits = multihost_utils.broadcast_one_to_all(fits)
        if not fits:
            raise NotSavedError(
                f"step {step} is not saved: {self.directory} has {free / 1e6:.1f} MB "
                f"of space, a checkpoint needs {needed / 1e6:.1f}. {self._newest()}"
            )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Tells in one line why a checkpoint could not be written."""
        try:
            yield
        except Exception as error:  # Orbax and TensorStore raise many kinds
            kind: type[CheckpointError] = NotSavedError
            if jax.process_count() > 1:  # the others do not know, and wait in Orbax
                kind = CheckpointError
            else:  # Orbax would raise it again and again
                self._manager = open_manager(self.directory, self._options)
            first = str(error).strip().partition("\n")[0][:200]
            raise kind(
                f"a checkpoint could not be written to {self.directory}: {first}. "
                f"{self._newest()}"
            ) from error

    def _newest(self) -> str:
        step = newest_step(self.directory.parent)
        if step is None:
            return "There is no other: a new start begins anew."
        return f"The newest is that of step {step}, after which a new start goes on."

    def restore(
        self, template: dict[str, Any], description: dict
    ) -> tuple[dict[str, Any], dict] | None:
        """Reads the newest checkpoint that is whole.

        Damaged ones are reported, and moved out of the way into `damaged/`, so that
        the run can save those steps again.

        Args:
          template: `items` as given to `save`, or their shapes.
          description: The run's, of the same network and classes.

        Returns:
          Items as NumPy arrays and the checkpoint's description, or None if there is
          no checkpoint.

        Raises:
          CheckpointError: if the checkpoints are of another network, or all damaged.
        """
        damaged = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                found, _ = read_description(self._manager, step)
                fix = "Give this run a --workdir of its own."
                check_same_network(self.directory, found, description, fix=fix)
                items = read_items(self._manager, step, template)
            except DamagedError as error:
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
