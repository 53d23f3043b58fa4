"""The checkpoints of a run that is being trained."""

from __future__ import annotations

import logging
import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from qcs_jax.checkpoint.description import check_same_network
from qcs_jax.checkpoint.errors import CheckpointError, DamagedError
from qcs_jax.checkpoint.storage import (
    ITEMS,
    digests_of,
    open_manager,
    read_config,
    read_items,
    shapes_of_variables,
)
from qcs_jax.checkpoint.trained import FOLDER

logger = logging.getLogger(__name__)


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
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policy, best_fn=value, cleanup_tmp_directories=True
        )
        self._manager = open_manager(self.directory, options)

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
          description: See `describe`.
          metrics: Metrics of this step; checkpoints without any are never the best.

        Raises:
          CheckpointError: if there is a checkpoint of this step or a later one.
        """
        items = jax.tree.map(np.asarray, jax.device_get(items))
        trees = {name: ocp.args.PyTreeSave(items[name]) for name in ITEMS}
        hashed = {**items, "config": description}
        if metrics is not None:
            hashed["metrics"] = metrics = {k: float(x) for k, x in metrics.items()}
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
        """Returns when everything is on disk."""
        self._manager.wait_until_finished()

    def latest_step(self) -> int | None:
        return self._manager.latest_step()

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
                found = read_config(self._manager, step)
                fix = "Give this run a --workdir of its own."
                check_same_network(self.directory, found, description, fix=fix)
                shapes_of_variables(self._manager, step)  # as whoever loads it needs
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
