"""Faces through the base branch, a batch at a time."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from qcs_jax.evaluate.counts import finite
from qcs_jax.images.augment import preprocess
from qcs_jax.images.decode import to_pixels
from qcs_jax.models.folded import fold
from qcs_jax.models.qcs import QCS
from qcs_jax.predict.faces import Face, path_of, read
from qcs_jax.predict.interaction import fill_up
from qcs_jax.predict.prediction import Failure
from qcs_jax.system.errors import UserError

BATCH = 32  # faces in a pass; fewer are filled up to a power of two


class Decoded(NamedTuple):
    """A face that is ready for the network, before the centre crop."""

    path: str | None
    pixels: np.ndarray  # uint8 [resize, resize, 3]


class Pass(NamedTuple):
    """Faces that go through the network together; filled up at the end."""

    faces: list[Decoded | Failure]
    logits: Any  # [at least the number of faces that are no failures, k]
    features: Any  # [likewise, C]

    def fetch(self) -> Pass:
        """Waits for the network; drops what the batch was filled up with.

        Raises:
          NotFiniteError: if a logit is not finite.
        """
        count = sum(isinstance(face, Decoded) for face in self.faces)
        # Slicing on the device would compile for every count.
        logits, features = jax.device_get((self.logits, self.features))
        return Pass(self.faces, finite(logits[:count]), features[:count])


class BaseBranch:
    """A base branch on the default device, and what it is given.

    Attributes:
      model: The network, its batch normalisation folded into the convolutions; see
        `folded.fold`.
      variables: Its base branch.
      resize: Faces are resized to this square before the centre crop, in pixels.
    """

    def __init__(self, model: QCS, variables: dict, resize: int, *, flip: bool = False):
        """Folds the network and puts it on the device.

        Args:
          model: The network, folded or not.
          variables: `{"params": {"base": ...}, "batch_stats": {"base": ...}}`; a cross
            branch beside them is not used, nor are statistics if it is folded.
          resize: See above.
          flip: Give the mean of what a face and its mirror image give.
        """
        base = {name: {"base": tree["base"]} for name, tree in variables.items()}
        self.model, base = fold(model, base)
        self.variables = jax.device_put(base)
        self.resize, self._flip = resize, flip
        network, size = self.model, model.image_size

        def forward(variables: dict, pixels: jax.Array) -> Any:
            images = preprocess(pixels, size)
            if flip:
                images = jnp.concatenate([images, images[:, :, ::-1]])
            outputs = network.apply(variables, images, method="embed")
            if flip:
                outputs = jax.tree.map(lambda x: jnp.split(x, 2), outputs)
                outputs = [(x + mirrored) / 2 for x, mirrored in outputs]
            return outputs

        self.forward = jax.jit(forward)
        self._logits = jax.jit(network.apply)

    def __reduce__(self) -> tuple:
        # Programs and what is on a device belong to this process.
        make = functools.partial(BaseBranch, flip=self._flip)
        return make, (self.model, jax.device_get(self.variables), self.resize)

    def logits(self, normalized_images: Any) -> jax.Array:
        """See `Classifier.logits`."""
        return self._logits(self.variables, normalized_images)

    def passes(self, faces: Iterable[Face | Failure]) -> Iterator[Pass]:
        """Runs the network on `BATCH` faces at a time, in order.

        Threads decode a batch while the network is busy with the one before.
        """
        faces = iter(faces)
        running: Pass | None = None
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            while batch := list(itertools.islice(faces, BATCH)):
                started = self._start(list(pool.map(self.decode, batch)))
                if running:
                    yield running.fetch()
                running = started
        if running:
            yield running.fetch()

    def logits_of(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        """Logits of faces that are cut out already.

        Args:
          pixels: uint8 `[resize, resize, 3]` each.

        Returns:
          float32 `[b, k]`.
        """
        parts = [np.zeros((0, self.model.num_classes), np.float32)]
        for i in range(0, len(pixels), BATCH):
            faces = [Decoded(None, one) for one in pixels[i : i + BATCH]]
            parts.append(self._start([*faces]).fetch().logits)
        return np.concatenate(parts)

    def decode(self, face: Face | Failure) -> Decoded | Failure:
        """Reads one face; what is none becomes a `Failure`."""
        if isinstance(face, Failure):
            return face
        try:
            pixels = to_pixels(read(face, self.resize), self.resize)
        except (OSError, UserError) as error:
            return Failure(str(error), path_of(face))
        return Decoded(path_of(face), pixels)

    def _start(self, faces: list[Decoded | Failure]) -> Pass:
        pixels = [face.pixels for face in faces if isinstance(face, Decoded)]
        if not pixels:
            k, c = self.model.num_classes, self.model.features
            return Pass(faces, np.zeros((0, k)), np.zeros((0, c)))
        return Pass(faces, *self.forward(self.variables, fill_up(np.stack(pixels))))
