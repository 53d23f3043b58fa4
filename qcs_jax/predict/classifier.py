"""Predictions of a trained base branch.

Loading reads the base branch alone. The interaction is traced by `explain` only.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from PIL import Image

from qcs_jax import checkpoint, models
from qcs_jax.config.network import create_model
from qcs_jax.images import augment
from qcs_jax.images.decode import to_pixels, upright
from qcs_jax.metrics.counts import log_softmax
from qcs_jax.predict.explanation import Explanation, explain
from qcs_jax.predict.faces import Face, is_one, read, spread
from qcs_jax.predict.interaction import Interaction
from qcs_jax.predict.prediction import Failure, Prediction
from qcs_jax.system import compilation_cache
from qcs_jax.system.errors import UserError

BATCH = 32  # faces in a pass; fewer are filled up to a power of two

# Upright RGB image and side -> the face in it, as a square of that side.
Aligner = Callable[[Image.Image, int], Image.Image]


class Classifier:
    """The base branch of a checkpoint.

    Attributes:
      class_names: k names, in the order of logits and probabilities.
      model: The network.
      variables: Its base branch.
      resize: Faces are resized to this square before the centre crop, in pixels.
    """

    def __init__(
        self,
        model: models.QCS,
        variables: dict,
        class_names: Sequence[str],
        resize: int,
        aligner: Aligner | None = None,
        load_interaction: Callable[[], Interaction] | None = None,
    ):
        """Puts a base branch on the default device.

        Args:
          model: As `models.create` gives it.
          variables: `{"params": {"base": ...}, "batch_stats": {"base": ...}}`.
          class_names: k names.
          resize: Side of the square before the centre crop.
          aligner: Finds the face in an image, such as `qcs_jax.align.Aligner`; None
            takes the whole image for the face.
          load_interaction: Reads the rest of the network, which only `explain` needs.
        """
        self.model = model
        self.variables = jax.device_put(variables)
        self.class_names = tuple(class_names)
        self.resize = resize
        self._aligner = aligner
        self._load_interaction = load_interaction
        self._logits = jax.jit(model.apply)
        self._forward = jax.jit(functools.partial(logits_and_features, model))

    @property
    def image_size(self) -> int:
        """Side s of the images that the network sees, in pixels."""
        return self.model.image_size

    def logits(self, normalized_images: Any) -> jax.Array:
        """Logits of images that are ready for the network; compiles for every new b.

        Args:
          normalized_images: float32 `[b, s, s, 3]`, s being `image_size`;
            `augment.preprocess` makes them from pixels.

        Returns:
          float32 `[b, k]`.
        """
        return self._logits(self.variables, normalized_images)

    def predict(
        self, faces: Face | Iterable[Face]
    ) -> Prediction | list[Prediction | Failure]:
        """Classifies one face, or several.

        Args:
          faces: A path, a Pillow image or uint8 pixels `[h, w]`, `[h, w, 3]` (RGB) or
            `[h, w, 4]` (RGBA; alpha is ignored, as it is in training). Or several: an
            iterable of these, an array `[b, h, w, 3]`, a pattern such as
            "faces/*.jpg", or a folder, whose images are taken in sorted order.

        Returns:
          For one face a `Prediction`. For several a list in the order of `faces`,
          with a `Failure` in the place of each that is not an image.

        Raises:
          UserError: if the one face is not an image, or a pattern or folder, given
            alone, has none.
        """
        one = is_one(faces)
        if isinstance(faces, str | os.PathLike) and not one:
            faces = _files(faces)
        answers = list(self.predict_each([faces] if one else faces))
        if one and isinstance(answers[0], Failure):
            raise UserError(str(answers[0]))
        return answers[0] if one else answers

    def predict_each(self, faces: Iterable[Face]) -> Iterator[Prediction | Failure]:
        """Classifies any number of faces, in memory that does not grow with it.

        Args:
          faces: See `predict`; may have patterns and folders among them.

        Yields:
          As in the list of `predict`. A pattern or folder without images is a
          `Failure`.
        """
        for pass_ in self._passes(faces):
            rows = iter(np.exp(log_softmax(pass_.logits)))
            for face in pass_.faces:
                if isinstance(face, Failure):
                    yield face
                else:
                    p = next(rows)
                    label = self.class_names[p.argmax()]
                    yield Prediction(label, p, self.class_names, face.path)

    def features(self, faces: Face | Iterable[Face]) -> np.ndarray:
        """What the last linear layer sees: the gated class token.

        Args:
          faces: See `predict`; one face is a batch of one.

        Returns:
          float32 `[b, C]`, C being `model.features`.

        Raises:
          UserError: if one of the faces is not an image.
        """
        alone = isinstance(faces, str | os.PathLike) or is_one(faces)
        found = [np.zeros((0, self.model.features), np.float32)]
        for pass_ in self._passes([faces] if alone else faces):
            failures = [face for face in pass_.faces if isinstance(face, Failure)]
            if failures:
                raise UserError(str(failures[0]))
            found.append(pass_.features)
        return np.concatenate(found)

    def explain(self, anchor: Face, others: Face | Iterable[Face]) -> Explanation:
        """Shows what a face shares with other faces, position by position (Figure 8).

        The first call reads the cross branch from the checkpoint.

        Args:
          anchor: One face; see `predict`.
          others: One or several faces to compare it with.

        Raises:
          UserError: if one of them is not an image, or the network is a baseline,
            which compares nothing.
        """
        alone = isinstance(others, str | os.PathLike) or is_one(others)
        faces = [anchor, *([others] if alone else others)]
        decoded = [self._decode(face) for face in _spread(faces)]
        failures = [face for face in decoded if isinstance(face, Failure)]
        if failures:
            raise UserError(str(failures[0]))
        if len(decoded) < 2:
            raise UserError("there is no other face to compare the anchor with")
        pixels = np.stack([face.pixels for face in decoded])
        return explain(self._interaction, pixels[0], pixels[1:])

    @functools.cached_property
    def _interaction(self) -> Interaction:
        if self._load_interaction is None:
            raise UserError(
                "this classifier has its base branch alone, which compares nothing: "
                "load it from a checkpoint with qcs_jax.load"
            )
        return self._load_interaction()

    def _passes(self, faces: Iterable[Face]) -> Iterator[_Pass]:
        """Runs the network on `BATCH` faces at a time, in order.

        Threads decode a batch while the network is busy with the one before.
        """
        running: _Pass | None = None
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            items = _spread(faces)
            while batch := list(itertools.islice(items, BATCH)):
                decoded = list(pool.map(self._decode, batch))
                started = self._start(decoded)
                if running:
                    yield running.fetch()
                running = started
        if running:
            yield running.fetch()

    def _decode(self, face: Face | Failure) -> _Decoded | Failure:
        if isinstance(face, Failure):
            return face
        try:
            if self._aligner is None:
                image = read(face, self.resize)
            else:
                image = self._aligner(upright(read(face)), self.resize)
        except UserError as error:
            return Failure(str(error), _path(face))
        return _Decoded(_path(face), to_pixels(image, self.resize))

    def _start(self, faces: list[_Decoded | Failure]) -> _Pass:
        pixels = [face.pixels for face in faces if isinstance(face, _Decoded)]
        if not pixels:
            k, c = len(self.class_names), self.model.features
            return _Pass(faces, np.zeros((0, k)), np.zeros((0, c)))
        filled = 1 << (len(pixels) - 1).bit_length()  # few sizes, so few compilations
        pixels += pixels[-1:] * (filled - len(pixels))
        return _Pass(faces, *self._forward(self.variables, np.stack(pixels)))


def logits_and_features(
    model: models.QCS, variables: dict, pixels: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The base branch, and the gated class token that its last layer sees.

    Args:
      model: The network.
      variables: Its base branch.
      pixels: uint8 `[b, h, w, 3]`, resized but not cropped.

    Returns:
      float32 logits `[b, k]` and features `[b, C]`.
    """
    ready = augment.preprocess(pixels, model.image_size)
    logits, sown = model.apply(variables, ready, mutable=["intermediates"])
    [embedding] = sown["intermediates"]["base"]["vit"]["embedding"]
    return logits, embedding.astype(np.float32)


class _Decoded(NamedTuple):
    path: str | None
    pixels: np.ndarray  # uint8 [resize, resize, 3]


class _Pass(NamedTuple):
    """Faces that go through the network together; filled up at the end."""

    faces: list[_Decoded | Failure]
    logits: Any  # [at least the number of faces that are no failures, k]
    features: Any  # [likewise, C]

    def fetch(self) -> _Pass:
        """Waits for the network; drops what the batch was filled up with."""
        count = sum(isinstance(face, _Decoded) for face in self.faces)
        # Slicing on the device would compile for every count.
        logits, features = jax.device_get((self.logits, self.features))
        return _Pass(self.faces, logits[:count], features[:count])


def _spread(faces: Iterable[Face]) -> Iterator[Face | Failure]:
    for face in faces:
        try:
            yield from spread(face)
        except UserError as error:
            yield Failure(str(error), _path(face))


def _files(path: str | os.PathLike) -> list[Face]:
    try:
        return list(spread(path))
    except UserError as error:
        raise UserError(f"{os.fspath(path)}: {error}") from None


def _path(face: Face) -> str | None:
    return os.fspath(face) if isinstance(face, str | os.PathLike) else None


def load(
    path: str | os.PathLike, *, step: int | None = None, aligner: Aligner | None = None
) -> Classifier:
    """Loads the base branch of a checkpoint.

    Also turns on JAX's cache of compiled programs, see `compilation_cache`.

    Args:
      path: A run's workdir, its `checkpoints` folder, one step's folder, or what
        `python -m qcs_jax.convert` wrote.
      step: Which step; default see `checkpoint.choose_step`.
      aligner: See `Classifier`.

    Raises:
      UserError: if there is no checkpoint, or it is damaged.
    """
    compilation_cache.enable()
    variables, description, step = checkpoint.load_variables(
        path, step=step, branch="base"
    )
    config = ml_collections.ConfigDict(description["config"])
    class_names = description["class_names"]
    model = create_model(config, len(class_names))
    resize = description["preprocessing"]["resize"]
    rest = functools.partial(Interaction.load, path, step=step)
    return Classifier(model, variables, class_names, resize, aligner, rest)
