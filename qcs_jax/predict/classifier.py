"""Predictions of a trained base branch.

Loading reads the base branch alone. The interaction is traced by `explain` only.
"""

from __future__ import annotations

import functools
import itertools
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from qcs_jax.evaluate.counts import probabilities
from qcs_jax.models.qcs import QCS
from qcs_jax.predict.align import TEMPLATE, Aligner
from qcs_jax.predict.answers import Photograph, examine
from qcs_jax.predict.detector import Detector
from qcs_jax.predict.explanation import Explanation, explain
from qcs_jax.predict.faces import Face, expand
from qcs_jax.predict.interaction import Interaction
from qcs_jax.predict.network import BaseBranch, Decoded
from qcs_jax.predict.prediction import Failure, Prediction
from qcs_jax.predict.video import Frame, Video, watch
from qcs_jax.system.errors import UserError


class Classifier:
    """The base branch of a checkpoint.

    Can be pickled and copied, for other processes and machines. `explain` reads the
    cross branch, which does not go along, from where the classifier was loaded.

    Attributes:
      class_names: k names, in the order of logits and probabilities.
      resize: Faces are resized to this square before the centre crop, in pixels.
      about: What network it is, and how good; also what `print` says of it.
      drawn: Whether it was trained on drawings, not on photographs.
    """

    def __init__(
        self,
        model: QCS,
        variables: dict,
        class_names: Sequence[str],
        resize: int,
        *,
        flip: bool = False,
        detector: Detector | None = None,
        landmarks: np.ndarray = TEMPLATE,
        load_interaction: Callable[[], Interaction] | None = None,
        about: str = "",
        drawn: bool = False,
    ):
        """Puts a base branch on the default device.

        Args:
          model: The network, folded or not.
          variables: `{"params": {"base": ...}, "batch_stats": {"base": ...}}`; a cross
            branch beside them is not used, nor are statistics if it is folded.
          class_names: See above.
          resize: See above.
          flip: Give the mean of what a face and its mirror image give; takes twice the
            time.
          detector: Finds the faces of photographs; default: a `BlazeFace`.
          landmarks: Where the landmarks of a face are in the training images; the
            template of `align.Aligner`.
          load_interaction: Reads the rest of the network, which only `explain` needs.
          about: See above.
          drawn: See above.
        """
        self.class_names = tuple(class_names)
        self.resize = resize
        self.about = about or type(model).__name__
        self.drawn = drawn
        self._base = BaseBranch(model, variables, resize, flip=flip)
        self._load_interaction = load_interaction
        self._detector = detector
        self._landmarks = landmarks

    def __repr__(self) -> str:
        return self.about

    def __getstate__(self) -> dict:
        """All but the cross branch.

        Raises:
          UserError: if a detector was given that cannot be pickled.
        """
        try:
            pickle.dumps(self._detector)
        except (AttributeError, pickle.PicklingError):
            pass  # a local class or function: pickle names it, and cloudpickle takes it
        except TypeError as error:  # it has a lock, a network, ...
            raise UserError(
                f"a classifier is pickled with its detector, and this "
                f"{type(self._detector).__name__} cannot be ({error}): give it a "
                f"__reduce__, as detector.BlazeFace has"
            ) from error
        return {name: x for name, x in vars(self).items() if name != "_interaction"}

    @property
    def model(self) -> QCS:
        """The network, its batch normalisation folded into the convolutions."""
        return self._base.model

    @property
    def variables(self) -> dict:
        """Weights of the base branch of `model`."""
        return self._base.variables

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
        return self._base.logits(normalized_images)

    def predict(
        self, faces: Face | Iterable[Face]
    ) -> Prediction | list[Prediction | Failure]:
        """Classifies one face, or several.

        Args:
          faces: A path, an encoded image (bytes), a file of one that is open for
            reading bytes, a Pillow image, or uint8 pixels `[h, w]`, `[h, w, 3]` (RGB)
            or `[h, w, 4]` (RGBA; alpha is ignored, as it is in training). Or several:
            an iterable of these, an array `[b, h, w, 3]`, a pattern such as
            "faces/*.jpg", or a folder, whose images are taken in sorted order. Open
            files are read from where they stand, and left open.

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
        for pass_ in self._base.passes(faces):
            rows = iter(probabilities(pass_.logits))
            for face in pass_.faces:
                if isinstance(face, Failure):
                    yield face
                else:
                    yield Prediction.of(next(rows), self.class_names, face.path)

    def predict_photo(self, photo: Face) -> Photograph:
        """Finds every face of a photograph and classifies it.

        Args:
          photo: A path, an open file, pixels, ..., see `predict`; whatever it shows.

        Raises:
          UserError: if it is not an image.
        """
        given, one = expand(photo)
        if not one:
            raise UserError("this is not one photograph: predict_photos takes several")
        [answer] = self._examine(given)
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
        """
        yield from self._examine(expand(photos)[0])

    def _examine(
        self, photos: Iterator[Face | Failure]
    ) -> Iterator[Photograph | Failure]:
        return examine(photos, self._aligner, self.resize, self._of_crops)

    def predict_video(
        self, video: str | os.PathLike | int, *, every: int = 1
    ) -> Iterator[Frame]:
        """Finds, follows and classifies the faces of a video.

        Args:
          video: A file, or the number of a camera, from 0.
          every: Look at each n-th frame only.

        Yields:
          A `Frame` for each, in memory that does not grow with their number.

        Raises:
          UserError: if it cannot be opened.
        """
        with Video(video, every) as frames:
            yield from self.watch(frames)

    def watch(self, frames: Iterable) -> Iterator[Frame]:
        """The same for a `Video`, or whatever gives index, seconds and RGB image."""
        return watch(frames, self._aligner, self.resize, self._of_crops)

    @functools.cached_property
    def _aligner(self) -> Aligner:
        return Aligner(self._detector, self._landmarks)

    def _of_crops(self, crops: list[np.ndarray]) -> Iterator[Prediction]:
        """Of uint8 `[resize, resize, 3]` each."""
        for p in probabilities(self._base.logits_of(crops)):
            yield Prediction.of(p, self.class_names)

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
        for pass_ in self._base.passes(expand(faces)[0]):
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
        anchors, one = expand(anchor)
        if not one:
            raise UserError("there is one anchor: give a single face")
        faces = itertools.chain(anchors, expand(others)[0])
        decoded = [self._base.decode(face) for face in faces]
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


def _raise_first_failure(faces: Iterable[Decoded | Failure]) -> list[Decoded]:
    decoded = []
    for face in faces:
        if isinstance(face, Failure):
            raise UserError(str(face))
        decoded.append(face)
    return decoded
