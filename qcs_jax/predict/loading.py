"""From a path, or the name of a network in the package, to a classifier."""

from __future__ import annotations

import functools
import os

import numpy as np

from qcs_jax.checkpoint import Trained
from qcs_jax.predict.align import TEMPLATE, Aligner
from qcs_jax.predict.classifier import Align, Classifier
from qcs_jax.predict.interaction import Interaction
from qcs_jax.system import compilation_cache

PRETRAINED = "fer2013"  # see `checkpoint.weights`
NOT_PHOTOGRAPHS = (
    "was trained on drawn faces: what it says about photographs means nothing"
)


def load(
    path: str | os.PathLike = PRETRAINED,
    *,
    step: int | None = None,
    aligner: Align | None = None,
) -> Classifier:
    """Loads the base branch of a checkpoint.

    Turns on JAX's cache of compiled programs, too, see `compilation_cache`. Prints a
    note if the network was trained on drawings.

    Args:
      path: A run's workdir, its `checkpoints` folder, one step's folder, or what
        `python -m qcs_jax.convert` wrote. Default: the network for photographs that
        comes with the package, "fer2013".
      step: Which step; default see `checkpoint.choose_step`.
      aligner: See `Classifier`. An `Aligner` sets faces as they are in the training
        images, if an evaluation of the run has measured that.

    Raises:
      UserError: if there is no checkpoint, or it is damaged.
    """
    compilation_cache.enable()
    trained = Trained.load(path, step=step, branch="base")
    if trained.drawn:
        print(f"note: {os.fspath(path)} {NOT_PHOTOGRAPHS}")
    landmarks = np.asarray(trained.landmarks or TEMPLATE, np.float64)
    if isinstance(aligner, Aligner):
        aligner = aligner.to(landmarks)
    rest = functools.partial(Interaction.load, path, step=trained.step)
    network = trained.model, trained.variables, trained.class_names
    return Classifier(*network, trained.resize, aligner, rest, landmarks)
