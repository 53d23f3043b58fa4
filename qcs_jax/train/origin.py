"""What only the start of training can tell, and checkpoints keep from then on."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from PIL import Image

from qcs_jax.images.decode import decode
from qcs_jax.predict.align import template_of
from qcs_jax.train.run import Run

_MEASURED = 300  # training images in which landmarks are looked for


def described(run: Run, started_from: dict[str, Any] | None) -> dict:
    """Returns the description of a run that begins, as JSON gives it back.

    Beside what `describe` says it has "landmarks" under "preprocessing": where they are
    in the training images, see `align.template_of`, or None where too few of these show
    a face. Every process measures the same.

    Args:
      run: The run.
      started_from: What `config.init_from` is, see `initialize`; None if it is empty.
    """
    description = run.description
    preprocessing = description["preprocessing"] | {"landmarks": _landmarks(run)}
    return description | {"preprocessing": preprocessing, "started_from": started_from}


def kept(run: Run, before: dict) -> dict:
    """Returns the description of a run that goes on.

    Args:
      run: The run.
      before: The description of the checkpoint that it goes on from. What that does not
        say, since it is of an earlier version, is not said now.
    """
    keys = ("preprocessing", "started_from")
    return run.description | {key: before[key] for key in keys if key in before}


def _landmarks(run: Run) -> list | None:
    train, side = run.splits.whole_train, run.config.data.resize
    count = min(_MEASURED, len(train))
    some = np.random.default_rng(0).choice(len(train), count, replace=False)
    faces = []
    for data in train.encoded(some.tolist()):
        with contextlib.suppress(OSError):  # training names what it cannot decode
            faces.append(Image.fromarray(decode(data, side)))
    template = template_of(faces)
    return None if template is None else template.round(4).tolist()
