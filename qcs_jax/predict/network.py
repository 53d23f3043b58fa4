"""The base branch, and faces that go through it a batch at a time."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Iterable, Iterator
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
    model, data = trained.config.model, trained.config.data
    side, middle = trained.resize, trained.model.image_size
    lines = {
        "network": f"{model.size} {model.name}, step {trained.step} on {data.name}",
        "classes": ", ".join(trained.class_names),
        "faces": f"{side} x {side} pixels, of which the middle {middle} x {middle}",
        "landmarks": "as in the training images" if trained.landmarks else _USUAL,
    }
    if x := trained.evaluation:
        accuracy, (low, high) = x["metrics"]["accuracy"], x["intervals"]["accuracy"]
        images = f"{x['examples']} images, {x['dataset']} {x['split']}"
        lines["accuracy"] = f"{accuracy:.3f} ({low:.3f} to {high:.3f}) of {images}"
    elif trained.doubt:
        lines["accuracy"] = f"not known: {trained.doubt}"
    rows = [f"  {name:<9} {text}" for name, text in lines.items()]
    return "\n".join([f"Classifier {os.fspath(source or trained.workdir)}", *rows])


class Output(NamedTuple):
    """What the network gives for one face."""

    path: str | None
    logits: np.ndarray  # float32 [k]
    features: np.ndarray  # float32 [C]


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


apply = jax.jit(QCS.apply, static_argnums=0)  # logits of normalised images


def outputs(
    variables: dict,
    faces: Iterable[Face | Failure],
    model: QCS,
    resize: int,
    flip: bool,
) -> Iterator[Output | Failure]:
    """Runs `forward` on `BATCH` faces at a time; NotFiniteError for its logits.

    Threads decode a batch while the network is busy with the one before.
    """
    faces, running = iter(faces), None
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while batch := list(itertools.islice(faces, BATCH)):
            decoded = list(pool.map(decode, batch, itertools.repeat(resize)))
            pixels = [x for x in decoded if not isinstance(x, Failure)]
            computed = (np.zeros((0, 1)),) * 2
            if pixels:
                computed = forward(variables, fill_up(np.stack(pixels)), model, flip)
            if running:
                yield from _fetch(*running)
            running = [*map(path_of, batch)], decoded, computed
    if running:
        yield from _fetch(*running)


def _fetch(
    paths: list[str | None], decoded: list[np.ndarray | Failure], computed: Any
) -> Iterator[Output | Failure]:
    """Waits for the network; drops what the batch was filled up with."""
    count = sum(not isinstance(x, Failure) for x in decoded)
    # Slicing on the device would compile for every count.
    logits, features = jax.device_get(computed)
    rows = zip(finite(logits[:count]), features, strict=False)
    for path, x in zip(paths, decoded, strict=True):
        yield x if isinstance(x, Failure) else Output(path, *next(rows))


def decode(face: Face | Failure, resize: int) -> np.ndarray | Failure:
    """Reads a face as uint8 `[resize, resize, 3]`; a `Failure` if that fails."""
    if isinstance(face, Failure):
        return face
    try:
        return to_pixels(read(face, resize), resize)
    except (OSError, UserError) as error:
        return Failure(str(error), path_of(face))
