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
from qcs_jax.system.versions import versions

_READ_AT_ONCE = 1024


def fingerprint(trained: Trained, test: Source) -> dict[str, str]:
    """Returns SHA-256 digests of all that an accuracy depends on, but for the software.

    Args:
      trained: The network.
      test: The images that count, with the labels that count.

    Returns:
      "network": see `Trained.digest`.
      "images": of names, labels, classes and the images themselves, in their order.
    """
    return {"network": trained.digest, "images": _of_images(test)}


def check_same_everywhere(found: dict[str, str]) -> None:
    """Raises UserError unless all processes, where there are several, have this one.

    Each answers for a part of the images, or trains on one, by weights of its own.
    """
    mine = np.array([int(digest[:8], 16) for digest in found.values()], np.uint32)
    everywhere = multihost_utils.process_allgather(mine)
    for of, digests in zip(found, everywhere.reshape(-1, len(found)).T, strict=True):
        if (digests != digests[0]).any():
            raise UserError(
                f"the processes do not see the same {of}: give all of them the same "
                f"command, one --workdir and one --config.data.dir, with the same in it"
            )


def known(folder: pathlib.Path, wanted: dict[str, str]) -> dict | None:
    """Reads the evaluation in a folder, if it is surely that of a fingerprint.

    Args:
      folder: Where `metrics.json` and `predictions.csv` may be.
      wanted: See `fingerprint`.

    Returns:
      What `metrics.json` says; None where there is none, or any doubt: other
      weights, images or versions, or a checkout with changes that are not committed.
    """
    try:
        measured = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    now = versions()
    if not isinstance(measured, dict) or not (folder / PREDICTIONS_FILE).is_file():
        return None
    same = measured.get("fingerprint") == wanted and measured.get("versions") == now
    return measured if same and not now["commit"].endswith("-dirty") else None


def _of_images(test: Source) -> str:
    everything = range(len(test))
    described = [test.class_names, test.labels.tolist()]
    sha = hashlib.sha256(json.dumps(described).encode())
    for begin in everything[::_READ_AT_ONCE]:
        block = everything[begin : begin + _READ_AT_ONCE]
        pairs = zip(test.ids(block), test.encoded(block), strict=True)
        for name, image in pairs:
            sha.update(json.dumps([name, len(image)]).encode())
            sha.update(image)
    return sha.hexdigest()
