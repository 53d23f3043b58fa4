"""Predictions of a trained base branch.

Loading reads the base branch alone; the interaction is never traced.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
from PIL import Image

from qcs_jax import augment, checkpoint, images, models, recipe
from qcs_jax.errors import UserError

# A face as a path, a Pillow image, or uint8 pixels [h, w, 3] or [h, w].
Face = str | os.PathLike | Image.Image | np.ndarray

BATCH = 32  # faces in a pass; fewer are filled up to a power of two


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The answer for one face.

    Attributes:
      label: Name of the most probable class.
      probabilities: float64 `[k]`, in the order of `Classifier.class_names`.
    """

    label: str
    probabilities: np.ndarray

    def __str__(self) -> str:
        return f"{self.label} ({self.probabilities.max():.3f})"


class Classifier:
    """The base branch of a checkpoint.

    Attributes:
      class_names: k names, in the order of logits and probabilities.
      model: The network.
      variables: Its base branch.
      resize: Faces are resized to this square before the centre crop.
    """

    def __init__(
        self,
        model: models.QCS,
        variables: dict,
        class_names: Sequence[str],
        resize: int,
    ):
        """Puts a base branch on the default device.

        Args:
          model: As `models.create` gives it.
          variables: `{"params": {"base": ...}, "batch_stats": {"base": ...}}`.
          class_names: k names.
          resize: See above.
        """
        self.model = model
        self.variables = jax.device_put(variables)
        self.class_names = tuple(class_names)
        self.resize = resize
        self._forward = jax.jit(model.apply)

    def logits(self, normalized_images: Any) -> jax.Array:
        """Logits of images that are ready for the network.

        Args:
          normalized_images: float32 `[b, s, s, 3]`, s being `model.image_size`;
            `augment.preprocess` makes them from pixels.

        Returns:
          float32 `[b, k]`.
        """
        return self._forward(self.variables, normalized_images)

    def predict(self, faces: Face | Sequence[Face]) -> Prediction | list[Prediction]:
        """Classifies one face, or several.

        Args:
          faces: A face or a sequence of them; an array `[b, h, w, 3]` is b faces.

        Returns:
          A `Prediction`, or a list of them.

        Raises:
          UserError: for what is not an image.
        """
        single = isinstance(faces, str | os.PathLike | Image.Image) or (
            isinstance(faces, np.ndarray) and faces.ndim < 4
        )
        listed = [faces] if single else list(faces)
        predictions: list[Prediction] = []
        for i in range(0, len(listed), BATCH):
            pixels = [self._pixels(face) for face in listed[i : i + BATCH]]
            predictions += self._predict(np.stack(pixels))
        return predictions[0] if single else predictions

    def _predict(self, pixels: np.ndarray) -> list[Prediction]:
        count = len(pixels)
        filled = 1 << (count - 1).bit_length()  # few sizes, so few compilations
        pixels = np.concatenate([pixels, pixels[-1:].repeat(filled - count, axis=0)])
        logits = self.logits(_preprocess(pixels, self.model.image_size))
        p = np.asarray(jax.nn.softmax(logits), np.float64)[:count]
        return [Prediction(self.class_names[row.argmax()], row) for row in p]

    def _pixels(self, face: Face) -> np.ndarray:
        try:
            if isinstance(face, np.ndarray):
                face = Image.fromarray(face)
            if isinstance(face, Image.Image):
                return images.to_pixels(face, self.resize)
            return images.decode(pathlib.Path(face).read_bytes(), self.resize)
        except (OSError, TypeError, ValueError) as error:
            what = face if isinstance(face, str | os.PathLike) else type(face).__name__
            raise UserError(f"{what} is not an image: {error}") from error


@functools.partial(jax.jit, static_argnums=1)
def _preprocess(pixels: np.ndarray, size: int) -> jax.Array:
    return augment.preprocess(pixels, size)


def load(path: str | os.PathLike, *, step: int | None = None) -> Classifier:
    """Loads the base branch of a checkpoint.

    Args:
      path: A run's workdir, its `checkpoints` folder, or one step's folder.
      step: Which step; default the newest.

    Raises:
      UserError: if there is no checkpoint, or it is damaged.
    """
    variables, description, _ = checkpoint.load_variables(
        path, step=step, branch="base"
    )
    config = ml_collections.ConfigDict(description["config"])
    class_names = description["class_names"]
    model = recipe.create_model(config, len(class_names))
    resize = description["preprocessing"]["resize"]
    return Classifier(model, variables, class_names, resize)
