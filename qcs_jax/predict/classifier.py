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
import numpy as np
from PIL import Image

from qcs_jax.images.augment import preprocess
from qcs_jax.images.decode import to_pixels, upright
from qcs_jax.metrics.counts import probabilities
from qcs_jax.models.folded import fold
from qcs_jax.models.qcs import QCS
from qcs_jax.predict.align import TEMPLATE, Aligner
from qcs_jax.predict.explanation import Explanation, explain
from qcs_jax.predict.faces import Face, expand, path_of, read
from qcs_jax.predict.interaction import Interaction, fill_up
from qcs_jax.predict.photograph import Photograph, examine
from qcs_jax.predict.prediction import Failure, Prediction
from qcs_jax.system.errors import UserError

BATCH = 32  # faces in a pass; fewer are filled up to a power of two

# Upright RGB image and side -> the face in it, as a square of that side.
Align = Callable[[Image.Image, int], Image.Image]


class Classifier:
    """The base branch of a checkpoint.

    Attributes:
      class_names: k names, in the order of logits and probabilities.
      model: The network, its batch normalisation folded into the convolutions; see
        `folded.fold`.
      variables: Its base branch.
      resize: Faces are resized to this square before the centre crop, in pixels.
    """

    def __init__(
        self,
        model: QCS,
        variables: dict,
        class_names: Sequence[str],
        resize: int,
        aligner: Align | None = None,
        load_interaction: Callable[[], Interaction] | None = None,
        landmarks: np.ndarray = TEMPLATE,
    ):
        """Puts a base branch on the default device.

        Args:
          model: The network, folded or not.
          variables: `{"params": {"base": ...}, "batch_stats": {"base": ...}}`; a cross
            branch beside them is not used, nor are statistics if it is folded.
          class_names: See above.
          resize: See above.
          aligner: Finds the face in an image, such as `qcs_jax.predict.align.Aligner`;
            None takes the whole image for the face.
          load_interaction: Reads the rest of the network, which only `explain` needs.
          landmarks: Where the landmarks of a face are in the training images; the
            template of `align.Aligner`.
        """
        base = {name: {"base": tree["base"]} for name, tree in variables.items()}
        model, base = fold(model, base)
        self.model = model
        self.variables = jax.device_put(base)
        self.class_names = tuple(class_names)
        self.resize = resize
        self._aligner = aligner
        self._load_interaction = load_interaction
        self._landmarks = landmarks
        self._logits = jax.jit(model.apply)

        def forward(variables: dict, pixels: jax.Array) -> Any:
            images = preprocess(pixels, model.image_size)
            return model.apply(variables, images, method="embed")

        self._forward = jax.jit(forward)

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
        items, one = expand(faces)
        answers = list(self._predict(items))
        if not one:
            return answers
        [answer] = answers
        if isinstance(answer, Failure):
            raise UserError(str(answer))
        return answer

    def predict_each(
        self, faces: Face | Iterable[Face]
    ) -> Iterator[Prediction | Failure]:
        """Classifies any number of faces, in memory that does not grow with it.

        Args:
          faces: See `predict`; may have patterns and folders among them.

        Yields:
          As in the list of `predict`. A pattern or folder without images is a
          `Failure`.
        """
        yield from self._predict(expand(faces)[0])

    def _predict(
        self, faces: Iterator[Face | Failure]
    ) -> Iterator[Prediction | Failure]:
        for pass_ in self._passes(faces):
            rows = iter(probabilities(pass_.logits))
            for face in pass_.faces:
                if isinstance(face, Failure):
                    yield face
                else:
                    yield self._prediction(next(rows), face.path)

    def predict_photo(self, photo: Face) -> Photograph:
        """Finds every face of a photograph and classifies it.

        Args:
          photo: A path, a Pillow image or pixels, see `predict`; whatever it shows.

        Raises:
          UserError: if it is not an image, or OpenCV (the extra `align`) is missing.
        """
        if not expand(photo)[1]:
            raise UserError("this is not one photograph: predict_photos takes several")
        [answer] = self.predict_photos([photo])
        if isinstance(answer, Failure):
            raise UserError(str(answer))
        return answer

    def predict_photos(
        self, photos: Face | Iterable[Face]
    ) -> Iterator[Photograph | Failure]:
        """Finds and classifies the faces of any number of photographs.

        Args:
          photos: One or several, see `predict`; may have patterns and folders among
            them.

        Yields:
          A `Photograph` for each, or a `Failure` for what is not an image.

        Raises:
          UserError: if OpenCV (the extra `align`) is missing.
        """
        given = expand(photos)[0]
        yield from examine(given, self._photo_aligner, self.resize, self._of_crops)

    @functools.cached_property
    def _photo_aligner(self) -> Aligner:
        if isinstance(self._aligner, Aligner):
            return self._aligner
        return Aligner(template=self._landmarks)

    def _of_crops(self, crops: list[np.ndarray]) -> Iterator[Prediction]:
        """Of uint8 `[resize, resize, 3]` each."""
        for i in range(0, len(crops), BATCH):
            faces = [_Decoded(None, crop) for crop in crops[i : i + BATCH]]
            for p in probabilities(self._start([*faces]).fetch().logits):
                yield self._prediction(p, None)

    def _prediction(self, p: np.ndarray, path: str | None) -> Prediction:
        return Prediction(self.class_names[p.argmax()], p, self.class_names, path)

    def classify(self, faces: Face | Iterable[Face]) -> tuple[np.ndarray, np.ndarray]:
        """Returns what the network computes: logits, and what they are linear in.

        Args:
          faces: See `predict`; one face is a batch of one.

        Returns:
          float32 logits `[b, k]` and features `[b, C]`, C being `model.features`.

        Raises:
          UserError: if one of the faces is not an image.
        """
        logits = [np.zeros((0, len(self.class_names)), np.float32)]
        features = [np.zeros((0, self.model.features), np.float32)]
        for pass_ in self._passes(expand(faces)[0]):
            _raise_first_failure(pass_.faces)
            logits.append(pass_.logits)
            features.append(pass_.features)
        return np.concatenate(logits), np.concatenate(features)

    def features(self, faces: Face | Iterable[Face]) -> np.ndarray:
        """Returns what the last linear layer sees, float32 `[b, C]`; see `classify`."""
        return self.classify(faces)[1]

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
        faces = itertools.chain(expand(anchor)[0], expand(others)[0])
        decoded = [self._decode(face) for face in faces]
        pixels = [face.pixels for face in _raise_first_failure(decoded)]
        if len(pixels) < 2:
            raise UserError("there is no other face to compare the anchor with")
        return explain(self._interaction, pixels[0], np.stack(pixels[1:]))

    @functools.cached_property
    def _interaction(self) -> Interaction:
        if self._load_interaction is None:
            raise UserError(
                "this classifier has its base branch alone, which compares nothing: "
                "load it from a checkpoint with qcs_jax.load"
            )
        return self._load_interaction()

    def _passes(self, faces: Iterator[Face | Failure]) -> Iterator[_Pass]:
        """Runs the network on `BATCH` faces at a time, in order.

        Threads decode a batch while the network is busy with the one before.
        """
        running: _Pass | None = None
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            while batch := list(itertools.islice(faces, BATCH)):
                started = self._start(list(pool.map(self._decode, batch)))
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
            return Failure(str(error), path_of(face))
        return _Decoded(path_of(face), to_pixels(image, self.resize))

    def _start(self, faces: list[_Decoded | Failure]) -> _Pass:
        pixels = [face.pixels for face in faces if isinstance(face, _Decoded)]
        if not pixels:
            k, c = len(self.class_names), self.model.features
            return _Pass(faces, np.zeros((0, k)), np.zeros((0, c)))
        return _Pass(faces, *self._forward(self.variables, fill_up(np.stack(pixels))))


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


def _raise_first_failure(faces: Iterable[_Decoded | Failure]) -> list[_Decoded]:
    decoded = []
    for face in faces:
        if isinstance(face, Failure):
            raise UserError(str(face))
        decoded.append(face)
    return decoded
