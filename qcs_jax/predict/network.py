"""The base branch, and faces that go through it a batch at a time."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qcs_jax.checkpoint import Trained
from qcs_jax.evaluate.counts import finite
from qcs_jax.images.augment import preprocess
from qcs_jax.images.decode import to_pixels
from qcs_jax.models.batch_layout import fill_up
from qcs_jax.models.qcs import QCS
from qcs_jax.predict.answers import Failure
from qcs_jax.predict.faces import Face, path_of, read
from qcs_jax.system.errors import UserError

BATCH = 32  # faces in a pass; fewer are filled up to a power of two
_USUAL = "as usual in face recognition: those of the training images are not known"


def about(trained: Trained, source: str | os.PathLike | None) -> str:
    """Lines that say what network it is, and how good."""
    config, model = trained.config, trained.model
    landmarks = "as in the training images" if trained.landmarks else _USUAL
    lines = [
        f"Classifier {os.fspath(source or trained.workdir)}",
        f"  network   {config.model.size} {config.model.name}, step {trained.step} on "
        f"{config.data.name}",
        f"  classes   {', '.join(trained.class_names)}",
        f"  faces     {trained.resize} x {trained.resize} pixels, of which the middle "
        f"{model.image_size} x {model.image_size}",
        f"  landmarks {landmarks}",
    ]
    if evaluation := trained.evaluation:
        low, high = evaluation["intervals"]["accuracy"]
        accuracy = evaluation["metrics"]["accuracy"]
        lines.append(
            f"  accuracy  {accuracy:.3f} ({low:.3f} to {high:.3f}) of "
            f"{evaluation['examples']} images, {evaluation['dataset']} "
            f"{evaluation['split']}"
        )
    elif trained.doubt:
        lines.append(f"  accuracy  not known: {trained.doubt}")
    return "\n".join(lines)


class Decoded(NamedTuple):
    """A face that is ready for the network, before the centre crop."""

    path: str | None
    pixels: np.ndarray  # uint8 [resize, resize, 3]


class Pass(NamedTuple):
    """Faces that went through the network together; failures have no row."""

    faces: list[Decoded | Failure]
    logits: np.ndarray  # float32 [b, k]
    features: np.ndarray  # float32 [b, C]


@functools.partial(jax.jit, static_argnames=("model", "flip"))
def forward(variables: dict, pixels: jax.Array, model: QCS, flip: bool) -> Any:
    """Logits `[b, k]` and features `[b, C]` of uint8 `[b, resize, resize, 3]`.

    With `flip` the mean of what faces and their mirror images give.
    """
    images = preprocess(pixels, model.image_size)
    if flip:
        images = jnp.concatenate([images, images[:, :, ::-1]])
    outputs = model.apply(variables, images, method="embed")
    if flip:
        outputs = jax.tree.map(lambda x: jnp.split(x, 2), outputs)
        outputs = [(x + mirrored) / 2 for x, mirrored in outputs]
    return outputs


@functools.partial(jax.jit, static_argnames="model")
def logits(variables: dict, images: jax.Array, model: QCS) -> Any:
    """Logits `[b, k]` of normalised images `[b, s, s, 3]`."""
    return model.apply(variables, images)


def passes(
    faces: Iterable[Face | Failure], resize: int, run: Callable[[np.ndarray], Any]
) -> Iterator[Pass]:
    """Runs `forward` on `BATCH` faces at a time; NotFiniteError for its logits.

    Threads decode a batch while the network is busy with the one before.
    """
    faces, running = iter(faces), None
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while batch := list(itertools.islice(faces, BATCH)):
            decoded = list(pool.map(decode, batch, itertools.repeat(resize)))
            pixels = [face.pixels for face in decoded if isinstance(face, Decoded)]
            outputs = (np.zeros((0, 1)),) * 2
            if pixels:
                outputs = run(fill_up(np.stack(pixels)))
            if running:
                yield _fetch(*running)
            running = decoded, outputs
    if running:
        yield _fetch(*running)


def _fetch(faces: list[Decoded | Failure], outputs: Any) -> Pass:
    """Waits for the network; drops what the batch was filled up with."""
    count = sum(isinstance(face, Decoded) for face in faces)
    # Slicing on the device would compile for every count.
    logits, features = jax.device_get(outputs)
    return Pass(faces, finite(logits[:count]), features[:count])


def decode(face: Face | Failure, resize: int) -> Decoded | Failure:
    """Reads one face; one that cannot be read becomes a `Failure`."""
    if isinstance(face, Failure):
        return face
    try:
        return Decoded(path_of(face), to_pixels(read(face, resize), resize))
    except (OSError, UserError) as error:
        return Failure(str(error), path_of(face))
