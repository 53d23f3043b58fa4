"""How a checkpoint of Orbax lies on disk, and how it is read and verified."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import operator
import os
import pathlib
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flax.traverse_util
import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging as absl_logging
from orbax.checkpoint import checkpoint_managers

from qcs_jax.checkpoint.description import DamagedError, check_known
from qcs_jax.system.errors import first_line

VARIABLES = ("params", "batch_stats")
ITEMS = (*VARIABLES, "train")

logger = logging.getLogger(__name__)


class _Manager(ocp.CheckpointManager):
    """Checkpoints whose metrics count only as they were saved.

    Orbax reads the metrics of all of them when it opens their folder. Damage there is
    no reason to lose the arrays: such a checkpoint counts as one without metrics.
    """

    def metrics(self, step: int) -> Any:
        where = f"metrics of checkpoint {self.directory}/{step}"
        try:
            metrics = super().metrics(step)
            text = (self.directory / str(step) / "digests" / "metadata").read_text()
            recorded = json.loads(text)
        except (ValueError, OSError):
            logger.warning("%s cannot be read: it counts as one without", where)
            return None
        # Checkpoints of earlier versions have no digest of their metrics.
        digest = recorded.get("metrics") if isinstance(recorded, dict) else None
        if metrics is not None and digest not in (None, _digest_of_json(metrics)):
            logger.warning("%s are damaged: it counts as one without", where)
            return None
        return metrics


def newest_and_best(keep: int, metric: str) -> ocp.CheckpointManagerOptions:
    """Options that keep the newest checkpoints, and the one with the largest metric."""
    value = operator.itemgetter(metric)
    best = checkpoint_managers.BestN(
        get_metric_fn=value, n=1, keep_checkpoints_without_metrics=False
    )
    policy = checkpoint_managers.AnyPreservationPolicy(
        [checkpoint_managers.LatestN(keep), best]
    )
    # Without best_fn Orbax writes no metrics and forgets the best when reopened.
    return ocp.CheckpointManagerOptions(
        preservation_policy=policy, best_fn=value, cleanup_tmp_directories=True
    )


def open_manager(
    directory: pathlib.Path, options: ocp.CheckpointManagerOptions
) -> ocp.CheckpointManager:
    """Opens the checkpoints in a folder that exists.

    Each process has them to itself: as Orbax does it, one whose disk fails leaves the
    others waiting.
    """
    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=me, active_processes={me})
    options = dataclasses.replace(options, create=False, multiprocessing_options=alone)
    handlers = {name: ocp.PyTreeCheckpointHandler() for name in ITEMS}
    handlers |= {name: ocp.JsonCheckpointHandler() for name in ("config", "digests")}
    registry = ocp.handlers.create_default_handler_registry(**handlers)
    return _Manager(directory, options=options, handler_registry=registry)


@contextlib.contextmanager
def open_read_only(directory: pathlib.Path) -> Iterator[ocp.CheckpointManager]:
    """Opens checkpoints that are only read, of which Orbax would warn."""
    options = ocp.CheckpointManagerOptions(
        read_only=True, create=False, save_interval_steps=0
    )
    before = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.ERROR)
    try:
        with open_manager(directory, options) as manager:
            yield manager
    finally:
        absl_logging.set_verbosity(before)


def read_description(
    manager: ocp.CheckpointManager, step: int
) -> tuple[dict, dict[str, dict]]:
    """What a checkpoint says about itself, and the shapes of its variables.

    Raises:
      DamagedError: if it cannot be read as it was saved.
      UserError: if this version does not know all that is in it.
    """
    description = _restore(manager, step, {"config": ocp.args.JsonRestore()})["config"]
    folder, handler = manager.directory / str(step), ocp.PyTreeCheckpointHandler()
    where = f"checkpoint {folder}"
    try:
        # manager.item_metadata reads the metrics, too, which may be damaged.
        with late_answers_left_out():
            shapes = {x: handler.metadata(folder / x).tree for x in VARIABLES}
    except Exception as error:
        raise DamagedError(
            f"{where} cannot be read: its metadata is missing or damaged"
        ) from error
    check_known(where, description, flax.traverse_util.flatten_dict(shapes, sep="/"))
    return description, shapes


def read_items(manager: ocp.CheckpointManager, step: int, template: dict) -> dict:
    """Reads items as NumPy arrays, in the structure of `template`."""
    as_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
    trees = {
        name: ocp.args.PyTreeRestore(
            tree, jax.tree.map(lambda _: as_numpy, tree), partial_restore=True
        )
        for name, tree in template.items()
    }
    return _restore(manager, step, trees)


def _restore(
    manager: ocp.CheckpointManager, step: int, args: dict[str, Any]
) -> dict[str, Any]:
    """Reads items; raises DamagedError unless they are those that were hashed."""
    where = f"checkpoint {manager.directory}/{step}"
    composite = ocp.args.Composite(**args, digests=ocp.args.JsonRestore())
    try:
        with late_answers_left_out():
            restored = manager.restore(step, args=composite)
    except Exception as error:  # Orbax and TensorStore raise many kinds for bad files
        raise DamagedError(
            f"{where} cannot be read ({type(error).__name__}: {first_line(error)})"
        ) from error
    items = {name: restored[name] for name in args}
    recorded = restored["digests"] if isinstance(restored["digests"], dict) else {}
    wrong = [x for x, digest in digests_of(items).items() if recorded.get(x) != digest]
    if wrong:
        raise DamagedError(
            f"{where} is damaged: {len(wrong)} arrays, {wrong[0]!r} among them, are "
            f"not what was saved"
        )
    return items


@contextlib.contextmanager
def late_answers_left_out() -> Iterator[None]:
    """Keeps TensorStore's answers that nobody waits for any longer off the screen.

    Where an array cannot be read or written Orbax closes its event loop. Threads of
    TensorStore that are busy with others complain of that, when they come to it, and
    asyncio of every other array that failed, when its task is collected: after an
    error what leaves them out stays.
    """
    before = sys.unraisablehook
    tasks = logging.getLogger("asyncio")
    level = tasks.level

    def pass_on(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    sys.unraisablehook = pass_on
    tasks.setLevel(logging.CRITICAL)
    yield
    sys.unraisablehook = before
    tasks.setLevel(level)


def digests_of(items: dict[str, Any]) -> dict[str, str]:
    """Path -> SHA-256 of an array with shape and type, or of "config", "metrics"."""
    texts = {name: items[name] for name in ("config", "metrics") if name in items}
    trees = {name: tree for name, tree in items.items() if name not in texts}
    leaves = jax.tree_util.tree_leaves_with_path(trees)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = dict(pool.map(lambda leaf: _digest(*leaf), leaves))
    return digests | {name: _digest_of_json(x) for name, x in texts.items()}


def _digest_of_json(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(path: tuple, leaf: Any) -> tuple[str, str]:
    array = np.asarray(leaf)
    sha = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    sha.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return jax.tree_util.keystr(path, simple=True, separator="/"), sha.hexdigest()
