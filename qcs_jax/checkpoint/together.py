"""Work of several processes that all have done, or none goes on from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from qcs_jax.checkpoint.errors import CheckpointError, NotSavedError
from qcs_jax.system.errors import UserError

T = TypeVar("T")

_DONE, _NOT_SAVED, _FAILED = range(3)


def together(work: Callable[[], T]) -> T:
    """Does something in every process, and raises in all if it fails in one.

    One that went on alone would wait for the others for ever.

    Args:
      work: May do nothing in some processes; asks nothing of others.

    Returns:
      What `work` returns in this process.

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
        told = f"process {ended.argmax()} cannot use the checkpoints, and says why"
        raise (NotSavedError if ended.max() == _NOT_SAVED else CheckpointError)(told)
    return result
