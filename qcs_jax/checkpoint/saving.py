"""The checkpoints of a run that is being trained.

In several processes, which hold the same state, the first one writes them all. What
became of it all know: none waits for another whose disk has failed.
"""

from __future__ import annotations

import contextlib
import logging
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from qcs_jax.checkpoint import storage
from qcs_jax.checkpoint.description import (
    CheckpointError,
    DamagedError,
    NotSavedError,
    check_same_network,
    check_same_start,
    not_finite,
)
from qcs_jax.checkpoint.trained import FOLDER, newest_step
from qcs_jax.system.errors import UserError, first_line

logger = logging.getLogger(__name__)

T = TypeVar("T")

_BESIDES = 2**20  # bytes of a checkpoint that are not arrays, at most
_DONE, _NOT_SAVED, _FAILED = range(3)

_Restored = tuple[int, dict, dict]  # step, items and description


class Checkpoints:
    """The checkpoints of one run, newest ones and the best.

    Use as a context manager: leaving it waits for the save under way. All processes
    call the same methods.
    """

    def __init__(self, workdir: str | pathlib.Path, *, keep: int, metric: str):
        """Opens or creates `workdir/checkpoints` and removes unfinished saves.

        Keeps the newest, `keep` of them, and the one with the largest `metric`.
        """
        self.directory = pathlib.Path(workdir).resolve() / FOLDER
        self._options = storage.newest_and_best(keep, metric)
        self._first = not jax.process_index()
        if self._first:
            self._open()

    def _open(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._manager = storage.open_manager(self.directory, self._options)

    def __enter__(self) -> Checkpoints:
        self._quiet = contextlib.ExitStack()
        self._quiet.enter_context(storage.late_answers_left_out())
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is None:  # after an error the others need not come here
            self._by_first(self._wait)
        if self._first:
            with self._errors_in_one_line():
                self._manager.close()
        if kind is None:
            self._quiet.close()

    def save(
        self, step: int, items: dict, description: dict, metrics: dict | None = None
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
          FloatingPointError: if a number in `items` is not finite.
          CheckpointError: if there is a checkpoint of this step or a later one.
        """
        self._by_first(lambda: self._save(step, items, description, metrics))

    def finish(self, step: int, items: dict, description: dict) -> None:
        """Returns when this step is on disk, saving it unless that has begun."""

        def work() -> None:
            if self._manager.latest_step() != step:
                self._save(step, items, description)
            self._wait()

        self._by_first(work)

    def _by_first(self, work: Callable[[], None]) -> None:
        _together(work if self._first else lambda: None)

    def _save(
        self, step: int, items: dict, description: dict, metrics: dict | None = None
    ) -> None:
        items = jax.tree.map(np.asarray, jax.device_get(items))
        try:
            self._wait()
        except NotSavedError as error:  # the one before; this one may succeed
            logger.warning("%s", error)
        if wrong := not_finite(items):
            raise FloatingPointError(f"{wrong}; they are not saved")
        self._check_space(step, items)
        hashed = {**items, "config": description}
        if metrics is not None:
            hashed["metrics"] = metrics = {k: float(x) for k, x in metrics.items()}
        args = ocp.args.Composite(
            **{name: ocp.args.PyTreeSave(items[name]) for name in storage.ITEMS},
            config=ocp.args.JsonSave(description),
            digests=ocp.args.JsonSave(storage.digests_of(hashed)),
        )
        with self._errors_in_one_line():
            saved = self._manager.save(step, args=args, metrics=metrics)
        if not saved:
            raise CheckpointError(
                f"step {step} was not saved: {self.directory} already has step "
                f"{self._manager.latest_step()}"
            )

    def _wait(self) -> None:
        with self._errors_in_one_line():
            self._manager.wait_until_finished()

    def latest_step(self) -> int | None:
        """The newest step, which may still be on its way to the disk."""
        if self._first:
            return self._manager.latest_step()
        return newest_step(self.directory.parent)

    def _check_space(self, step: int, items: dict) -> None:
        # Orbax would fail in the background, half-way.
        needed = sum(x.nbytes for x in jax.tree.leaves(items)) + _BESIDES
        with self._errors_in_one_line():
            free = shutil.disk_usage(self.directory).free
        if free < needed:
            raise NotSavedError(
                f"step {step} is not saved: {self.directory} has {free / 1e6:.1f} MB "
                f"of space, a checkpoint needs {needed / 1e6:.1f}. {self._newest()}"
            )

    @contextlib.contextmanager
    def _errors_in_one_line(self) -> Iterator[None]:
        """Raises NotSavedError for whatever Orbax and TensorStore raise."""
        try:
            yield
        except Exception as error:
            self._open()  # else Orbax would raise it again and again
            raise NotSavedError(
                f"a checkpoint could not be written to {self.directory}: "
                f"{first_line(error)}. {self._newest()}"
            ) from error

    def _newest(self) -> str:
        step = newest_step(self.directory.parent)
        if step is None:
            return "There is no other: a new start begins anew."
        return f"The newest is that of step {step}, after which a new start goes on."

    def restore(self, template: dict, description: dict) -> tuple[dict, dict] | None:
        """Reads the newest checkpoint that is whole.

        Damaged ones are reported, and moved out of the way into `damaged/`, so that
        the run can save those steps again.

        Args:
          template: `items` as given to `save`, or their shapes.
          description: The run's, of the same network, classes and start.

        Returns:
          Items as NumPy arrays and the checkpoint's description; None if there is none.

        Raises:
          UserError: if the checkpoints are of another network or start.
          CheckpointError: if all are damaged; in several processes, if not all of them
            can read the same one.
        """
        restored = _together(
            lambda: self._newest_whole(template, description) if self._first else None
        )
        if jax.process_count() > 1:
            mine = np.int32(-1 if restored is None else restored[0])
            step = int(multihost_utils.broadcast_one_to_all(mine))
            if step >= 0:
                restored = _together(
                    lambda: restored if self._first else self._same(step, template)
                )
        return None if restored is None else restored[1:]

    def _newest_whole(self, template: dict, description: dict) -> _Restored | None:
        damaged = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                theirs, _ = storage.read_description(self._manager, step)
                fix = "Give this run a --workdir of its own."
                check_same_network(self.directory, theirs, description, fix=fix)
                check_same_start(self.directory, theirs, description)
                items = storage.read_items(self._manager, step, template)
                if wrong := not_finite(items):
                    raise DamagedError(f"checkpoint {self.directory}/{step}: {wrong}")
            except DamagedError as error:
                logger.warning("%s; trying an older one", error)
                damaged.append(step)
                continue
            self._set_aside(damaged)
            return step, items, theirs
        if damaged:
            raise CheckpointError(
                f"every checkpoint in {self.directory} is damaged (steps {damaged}). "
                f"Delete that folder to start over, or restore it from a backup."
            )
        return None

    def _same(self, step: int, template: dict) -> _Restored:
        """Reads in another process the checkpoint that the first one has read."""
        try:
            with storage.open_read_only(self.directory) as manager:
                description, _ = storage.read_description(manager, step)
                return step, storage.read_items(manager, step, template), description
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{error}. Process 0 can read it: give all processes one --workdir, in "
                f"a folder that they share"
            ) from error

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


def _together(work: Callable[[], T]) -> T:
    """Does something in every process, and raises in all if it fails in one.

    One that went on alone would wait for the others for ever. The work asks nothing of
    other processes.

    Raises:
      NotSavedError: if it fails so, in this process or in another.
      CheckpointError: if it fails otherwise in another process, which says why.
    """
    if jax.process_count() == 1:
        return work()
    failure: Exception | None = None
    try:
        result = work()
    except (UserError, OSError, FloatingPointError) as error:
        failure = error
    mine = _DONE if failure is None else _FAILED
    if isinstance(failure, NotSavedError):
        mine = _NOT_SAVED
    ended = multihost_utils.process_allgather(np.int32(mine))
    if failure is not None:
        raise failure
    if ended.any():
        message = f"process {ended.argmax()} cannot use the checkpoints, and says why"
        raise (NotSavedError if ended.max() == _NOT_SAVED else CheckpointError)(message)
    return result
