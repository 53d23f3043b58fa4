"""Tells whether an evaluation that was written is the one that would be made now."""

from __future__ import annotations

import hashlib
import json
import pathlib

import numpy as np
from jax.experimental import multihost_utils

from qcs_jax.checkpoint import Trained
from qcs_jax.evaluate.predictions import PREDICTIONS_FILE
from qcs_jax.evaluate.run_log import METRICS_FILE
from qcs_jax.input.sources import Source
from qcs_jax.system.errors import UserError
from qcs_jax.system.runtime import versions

_READ_AT_ONCE = 1024


def fingerprint(trained: Trained, test: Source) -> dict[str, str]:
    """Returns SHA-256 digests of all that an accuracy depends on, but for the software.

    "network" is that of `Trained.digest`, "images" of the names, labels, classes and
    encoded images of `test` in their order.
    """
    examples = range(len(test))
    described = [test.class_names, test.labels.tolist()]
    sha = hashlib.sha256(json.dumps(described).encode())
    for begin in examples[::_READ_AT_ONCE]:
        block = examples[begin : begin + _READ_AT_ONCE]
        for name, image in zip(test.ids(block), test.encoded(block), strict=True):
            sha.update(json.dumps([name, len(image)]).encode())
            sha.update(image)
    return {"network": trained.digest, "images": sha.hexdigest()}


def check_same_everywhere(digests: dict[str, str]) -> None:
    """Raises UserError unless all processes, where there are several, have the same.

    Each answers for a part of the images, or trains on one, by weights of its own.
    """
    mine = np.array([int(digest[:8], 16) for digest in digests.values()], np.uint32)
    everywhere = multihost_utils.process_allgather(mine)
    columns = everywhere.reshape(-1, len(mine)).T
    for what, of_each_process in zip(digests, columns, strict=True):
        if (of_each_process != of_each_process[0]).any():
            raise UserError(
                f"the processes do not see the same {what}: give all of them the same "
                f"command, one --workdir and one --config.data.dir, with the same in it"
            )


def read_known(folder: pathlib.Path, digests: dict[str, str]) -> dict | None:
    """Reads the evaluation in a folder, if it is surely that of a `fingerprint`.

    Returns:
      What `metrics.json` says; None where there is none, no `predictions.csv`, or any
      doubt: other weights, images or versions, or a checkout with changes that are not
      committed.
    """
    try:
        measured = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    now = versions()
    if not isinstance(measured, dict) or not (folder / PREDICTIONS_FILE).is_file():
        return None
    same = measured.get("fingerprint") == digests and measured.get("versions") == now
    return measured if same and not now["commit"].endswith("-dirty") else None
