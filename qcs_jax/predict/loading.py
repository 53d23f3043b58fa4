"""From a path, or the name of a network in the package, to a classifier."""

from __future__ import annotations

import functools
import os

import numpy as np

from qcs_jax.checkpoint import CheckpointError, Trained
from qcs_jax.predict.align import TEMPLATE
from qcs_jax.predict.classifier import Classifier
from qcs_jax.predict.detector import Detector
from qcs_jax.predict.interaction import Interaction
from qcs_jax.system import compilation_cache

PRETRAINED = "fer2013"  # see `checkpoint.weights`
_USUAL = "as usual in face recognition: those of the training images are not known"
NOT_PHOTOGRAPHS = (
    "was trained on drawn faces: what it says about photographs means nothing"
)


def load(
    path: str | os.PathLike = PRETRAINED,
    *,
    step: int | None = None,
    flip: bool = False,
    detector: Detector | None = None,
) -> Classifier:
    """Loads the base branch of a checkpoint.

    Turns on JAX's cache of compiled programs, too, see `compilation_cache`. Prints a
    note if the network was trained on drawings.

    Args:
      path: A run's workdir, its `checkpoints` folder, one step's folder, or what
        `qcs-jax convert` wrote. Default: the network for photographs that
        comes with the package, "fer2013".
      step: Which step; default see `checkpoint.choose_step`.
      flip: See `Classifier`.
      detector: See `Classifier`. Faces of photographs are set as they are in the
        training images, if that was measured.

    Raises:
      UserError: if there is no checkpoint, or it is damaged.
    """
    compilation_cache.enable()
    # Another process, which it is pickled for, may run in another folder.
    lasting = os.path.abspath(path) if os.path.exists(path) else path
    trained = Trained.load(path, step=step, branch="base")
    if trained.drawn:
        print(f"note: {os.fspath(path)} {NOT_PHOTOGRAPHS}")
    return Classifier(
        trained.model,
        trained.variables,
        trained.class_names,
        trained.resize,
        flip=flip,
        detector=detector,
        landmarks=np.asarray(trained.landmarks or TEMPLATE, np.float64),
        load_interaction=functools.partial(_load_interaction, lasting, trained.step),
        about=_about(path, trained),
        drawn=trained.drawn,
    )


def _load_interaction(path: str | os.PathLike, step: int) -> Interaction:
    try:
        return Interaction.load(path, step=step)
    except CheckpointError as error:
        raise CheckpointError(
            f"explain reads the cross branch from where the classifier was loaded: "
            f"{error}"
        ) from error


def _about(path: str | os.PathLike, trained: Trained) -> str:
    config, names = trained.config, trained.class_names
    lines = [
        f"Classifier {os.fspath(path)}",
        f"  network   {config.model.size} {config.model.name}, step {trained.step} on "
        f"{config.data.name}",
        f"  classes   {', '.join(names)}",
        f"  faces     {trained.resize} x {trained.resize} pixels, of which the middle "
        f"{trained.model.image_size} x {trained.model.image_size}",
        f"  landmarks {'as in the training images' if trained.landmarks else _USUAL}",
    ]
    if found := trained.evaluation:
        low, high = found["intervals"]["accuracy"]
        lines.append(
            f"  accuracy  {found['metrics']['accuracy']:.3f} ({low:.3f} to {high:.3f}) "
            f"of {found['examples']} images, {found['dataset']} {found['split']}"
        )
    elif trained.doubt:
        lines.append(f"  accuracy  not known: {trained.doubt}")
    return "\n".join(lines)
