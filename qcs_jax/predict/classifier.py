"""Predictions of a trained base branch.

Loading reads the base branch alone. The cross branch is read by `explain` only.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np

from qcs_jax.checkpoint import Trained, weights
from qcs_jax.evaluate.counts import probabilities
from qcs_jax.images.decode import upright
from qcs_jax.models.folded import fold
from qcs_jax.predict import network
from qcs_jax.predict.align import TEMPLATE, is_crop
from qcs_jax.predict.answers import (
    Failure,
    Frame,
    Photograph,
    Prediction,
    successes,
)
from qcs_jax.predict.cut import Cut, cut_out, take_whole
from qcs_jax.predict.detector import BlazeFace, Detector
from qcs_jax.predict.faces import Face, expand, path_of, read
from qcs_jax.predict.interaction import Explanation, Interaction
from qcs_jax.predict.tracking import Tracker
from qcs_jax.predict.video import Video
from qcs_jax.system import runtime
from qcs_jax.system.errors import UserError

PRETRAINED = "fer2013"  # see `checkpoint.weights`


def load(
    path: str | os.PathLike = PRETRAINED,
    *,
    step: int | None = None,
    flip: bool = False,
    detector: Detector | None = None,
) -> Classifier:
    """Loads the base branch of a checkpoint, and turns on JAX's compilation cache.

    Prints a note if the network was trained on drawings.

    Args:
      path: A run's workdir, its `checkpoints` folder, one step's folder, or what
        `qcs-jax convert` wrote. Default: the network that comes with the package.
      step: Which step; default see `checkpoint.choose_step`.
      flip: Give the mean of what a face and its mirror image give; takes twice the
        time.
      detector: Finds the faces of photographs; default: a `BlazeFace`.

    Raises:
      UserError: if there is no checkpoint, or it is damaged.
    """
    runtime.enable_compilation_cache()
    trained = Trained.load(path, step=step, branch="base")
    if trained.drawn:
        what = "trained on drawn faces: what it says about photographs means nothing"
        print(f"note: {os.fspath(path)} was {what}")
    return Classifier(trained, flip=flip, detector=detector, source=path)


class Classifier:
    """The base branch of a checkpoint.

    Can be pickled and copied, for other processes and machines. `explain` reads the
    cross branch, which does not go along, from where the classifier was loaded.

    Attributes:
      model: The network, its batch normalisation folded into the convolutions.
      variables: Weights of its base branch, on the default device.
      class_names: k names, in the order of logits and probabilities.
      resize: Faces are resized to this square before the centre crop, in pixels.
      image_size: Side s of the images that the network sees, in pixels.
      flip: Whether answers are the mean of a face and its mirror image.
      about: What network it is, and how good; also what `print` says of it.
      drawn: Whether it was trained on drawings, not on photographs.
    """

    def __init__(
        self,
        trained: Trained,
        *,
        flip: bool = False,
        detector: Detector | None = None,
        source: str | os.PathLike | None = None,
    ):
        """Puts the base branch of a network on the default device; see `load`.

        `source` is where `explain` reads the cross branch: the path, or the name,
        from which the network was loaded.
        """
        self.class_names = trained.class_names
        self.resize = trained.resize
        self.drawn = trained.drawn
        self.about = network.about(trained, source)
        variables = trained.variables
        base = {name: {"base": tree["base"]} for name, tree in variables.items()}
        self.model, base = fold(trained.model, base)
        self.variables = jax.device_put(base)
        self.image_size = self.model.image_size
        self.flip = flip
        self._detector = detector
        self._template = np.asarray(trained.landmarks or TEMPLATE, np.float64)
        # Another process, which it is pickled for, may run in another folder. A name of
        # the package is none, even where something else is called the same.
        if source is not None and os.path.exists(source):
            place = os.path.abspath(source)
            if weights.find(place) or not weights.find(source):
                source = place
        self._source = source
        self._step = trained.step

    def __repr__(self) -> str:
        return self.about

    def __getstate__(self) -> dict:
        """All but the cross branch; the detector must be one that can be pickled."""
        return {name: x for name, x in vars(self).items() if name != "_interaction"}

    def logits(self, normalized_images: Any) -> jax.Array:
        """Logits of images that are ready for the network; compiles for every new b.

        Args:
          normalized_images: float32 `[b, s, s, 3]`, s being `image_size`;
            `augment.preprocess` makes them from pixels.
        """
        return network.apply(self.model, self.variables, normalized_images)

    def predict(
        self, faces: Face | Iterable[Face]
    ) -> Prediction | list[Prediction | Failure]:
        """Classifies one face, or several, taken whole.

        Args:
          faces: A path, an encoded image (bytes), a file of one that is open for
            reading bytes, a Pillow image, or uint8 pixels `[h, w]`, `[h, w, 3]` (RGB)
            or `[h, w, 4]` (RGBA; alpha is ignored, as it is in training). Or several:
            an iterable of these, an array `[b, h, w, 3]`, a pattern such as
            "faces/*.jpg", or a folder, whose images are taken in sorted order. Open
            files are read from where they stand, and left open.

        Returns:
          A `Prediction`, or for several a list in their order, with a `Failure` in the
          place of each that is not an image.

        Raises:
          UserError: if the one face, pattern or folder has no image.
        """
        items, single = expand(faces)
        answers = self._predict(items)
        return successes(answers)[0] if single else list(answers)

    def predict_each(
        self, faces: Face | Iterable[Face]
    ) -> Iterator[Prediction | Failure]:
        """Classifies any number of faces, in memory that does not grow with it.

        Yields what the list of `predict` has. A pattern or folder without images is a
        `Failure`.
        """
        yield from self._predict(expand(faces)[0])

    def predict_photo(self, photo: Face) -> Photograph:
        """Finds every face of a photograph, given as in `predict`, and classifies it.

        Raises:
          UserError: if it is not an image.
        """
        items, single = expand(photo)
        if not single:
            raise UserError("this is not one photograph: predict_photos takes several")
        return successes(map(self._photograph, items))[0]

    def predict_photos(
        self, photos: Face | Iterable[Face]
    ) -> Iterator[Photograph | Failure]:
        """Finds and classifies the faces of any number of photographs.

        Yields a `Photograph` for each, or a `Failure` for what is not an image.
        """
        yield from map(self._photograph, expand(photos)[0])

    def predict_video(
        self, video: str | os.PathLike | int, *, every: int = 1
    ) -> Iterator[Frame]:
        """Finds, follows and classifies the faces of a video, frame by frame.

        Args:
          video: A file, or the number of a camera, from 0.
          every: Look at each n-th frame only.

        Raises:
          UserError: if it cannot be opened.
        """
        with Video(video, every) as frames:
            yield from self.watch(frames)

    def watch(self, frames: Iterable) -> Iterator[Frame]:
        """The same for a `Video`, or index, rising seconds and RGB image of frames."""
        tracker = Tracker()
        for index, seconds, image in frames:
            found = self._detect.upright(image)
            cut = cut_out(image, found, self._template, self.resize)
            faces = cut.faces(successes(self._predict(cut.crops)))
            yield Frame(index, seconds, image, tracker.update(faces, seconds))

    def classify(self, faces: Face | Iterable[Face]) -> tuple[np.ndarray, np.ndarray]:
        """Returns logits `[b, k]`, and features `[b, C]` that they are linear in.

        Takes what `predict` takes; one face is a batch of one.

        Raises:
          UserError: if one of the faces is not an image.
        """
        items, _ = expand(faces)
        outputs = successes(self._outputs(items))
        logits = np.array([x.logits for x in outputs], np.float32)
        features = np.array([x.features for x in outputs], np.float32)
        b, k = len(outputs), len(self.class_names)
        return logits.reshape(b, k), features.reshape(b, self.model.features)

    def features(self, faces: Face | Iterable[Face]) -> np.ndarray:
        """Returns what the last linear layer sees, float32 `[b, C]`; see `classify`."""
        return self.classify(faces)[1]

    def explain(self, anchor: Face, others: Face | Iterable[Face]) -> Explanation:
        """Shows what a face shares with others, position by position (Figure 8).

        The first call reads the cross branch from the checkpoint.

        Raises:
          UserError: if one of them is not an image, or the network is a baseline,
            which compares nothing.
        """
        anchors, single = expand(anchor)
        if not single:
            raise UserError("there is one anchor: give a single face")
        faces = itertools.chain(anchors, expand(others)[0])
        decoded = successes(network.decode(face, self.resize) for face in faces)
        if len(decoded) < 2:
            raise UserError("there is no other face to compare the anchor with")
        return self._interaction.explain(decoded[0], np.stack(decoded[1:]))

    def _predict(
        self, faces: Iterable[Face | Failure]
    ) -> Iterator[Prediction | Failure]:
        for x in self._outputs(faces):
            if isinstance(x, Failure):
                yield x
            else:
                yield Prediction(probabilities(x.logits), self.class_names, x.path)

    def _outputs(self, faces: Iterable[Face | Failure]) -> Iterator[Any]:
        options = self.model, self.resize, self.flip
        return network.outputs(self.variables, faces, *options)

    def cut_out(self, photo: Face | Failure) -> Cut | Failure:
        """Does what comes before the network: finds the faces of a photograph.

        `Cut.photograph` makes the answer of what the network says of its crops.
        """
        if isinstance(photo, Failure):
            return photo
        try:
            image = upright(read(photo))
        except (OSError, UserError) as error:
            return Failure(str(error), path_of(photo))
        detections, path = self._detect(image), path_of(photo)
        if is_crop(image, detections, self._template, self.resize):
            return take_whole(image, detections, self.resize, path)
        cut = cut_out(image, detections, self._template, self.resize)
        return dataclasses.replace(cut, path=path)

    def _photograph(self, photo: Face | Failure) -> Photograph | Failure:
        cut = self.cut_out(photo)
        if isinstance(cut, Failure):
            return cut
        return cut.photograph(successes(self._predict(cut.crops)))

    @functools.cached_property
    def _detect(self) -> Detector:
        return BlazeFace() if self._detector is None else self._detector

    @functools.cached_property
    def _interaction(self) -> Interaction:
        if self._source is None:
            raise UserError("this is the base branch alone: use qcs_jax.load instead")
        return Interaction.load(self._source, step=self._step)
