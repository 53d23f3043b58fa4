"""A checkpoint and the images it is shown with; what several figures share."""

from __future__ import annotations

import functools
import pathlib
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from qcs_jax.checkpoint import Trained
from qcs_jax.evaluate.counts import Counts
from qcs_jax.figures import Unavailable
from qcs_jax.figures.gallery import Gallery, of_folder
from qcs_jax.images.augment import center_crop, preprocess
from qcs_jax.predict.classifier import Classifier
from qcs_jax.predict.interaction import Interaction
from qcs_jax.system.errors import UserError

if TYPE_CHECKING:
    from qcs_jax.input.sources import Source
    from qcs_jax.input.splits import Splits


class Scene:
    """One trained network in front of its images; parts are made when first read.

    Attributes:
      trained: The network, its configuration and its workdir.
      class_names: k names, in the order of the labels.
      seed: Seed of the choice of faces.
    """

    def __init__(
        self,
        path: str | pathlib.Path,
        *,
        folder: str = "",
        data_dir: str = "",
        seed: int = 0,
    ):
        """Reads the checkpoint.

        Args:
          path: A run's workdir, its `checkpoints` folder, or one step's folder.
          folder: Images in folders named after their class; default the test split of
            the run's own data set.
          data_dir: Root of prepared data sets; default that of the run, then
            `prepared.root`.
          seed: Seed of the choice of faces.

        Raises:
          UserError: if there is no checkpoint, or it is damaged.
        """
        self.trained = Trained.load(path)
        self.class_names = self.trained.class_names
        self.seed = seed
        self._folder, self._data_dir = folder, data_dir

    @functools.cached_property
    def interaction(self) -> Interaction:
        """The cross branch; raises Unavailable for a baseline."""
        if self.trained.model.branches == 1:
            raise Unavailable("a baseline has no cross branch and compares nothing")
        return Interaction(self.trained.model, self.trained.variables)

    @functools.cached_property
    def gallery(self) -> Gallery:
        """The images; raises UserError if there are none of these classes."""
        side = self.trained.resize
        if self._folder:
            return of_folder(self._folder, self.class_names, side, tell=print)
        source = self._checked(self._splits.test)
        name = f"split {source.split!r} of {source.name}"
        return Gallery(name, source.labels, self.class_names, side, source.encoded)

    @functools.cached_property
    def outputs(self) -> tuple[np.ndarray, np.ndarray]:
        """Logits `[m, k]` and features `[m, C]` of all images of the gallery."""
        return Classifier(self.trained).classify(self.gallery)

    @property
    def confusion(self) -> np.ndarray:
        """int64 `[k, k]`, images of each class (row) by the base branch's answer."""
        return Counts.of(self.outputs[0], self.gallery.labels).confusion

    @property
    def splits(self) -> dict[str, np.ndarray]:
        """Labels by split: train (as prepared) and test, or those of the folder."""
        if self._folder:
            return {"images": self.gallery.labels}
        train = self._checked(self._splits.whole_train)
        return {"train": train.labels, "test": self.gallery.labels}

    def faces(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws different images of each class, the same ones for every figure.

        Args:
          count: Images of a class.

        Returns:
          What the network sees, as uint8 pixels and normalised float32, both
          `[count, k, s, s, 3]`.

        Raises:
          Unavailable: if a class has too few images.
        """
        chosen = self.gallery.pick(count, self.seed)
        pixels = self.gallery.pixels(chosen.reshape(-1).tolist())
        size = self.trained.model.image_size
        normalized = np.asarray(preprocess(jnp.asarray(pixels), size))
        seen = center_crop(pixels, size)
        shape = (*chosen.shape, size, size, 3)
        return seen.reshape(shape), normalized.reshape(shape)

    @functools.cached_property
    def _splits(self) -> Splits:
        from qcs_jax.input.splits import Splits  # tensorflow_datasets takes seconds

        if not self.trained.config.data.name:
            raise UserError(
                "the checkpoint does not say which data set it was trained on: give "
                "--images=FOLDER"
            )
        return Splits(self.trained.config, data_dir=self._data_dir)

    def _checked(self, source: Source) -> Source:
        if tuple(source.class_names) != self.class_names:
            raise UserError(
                f"data set {source.name} has classes {', '.join(source.class_names)}, "
                f"but the checkpoint has {', '.join(self.class_names)}: give "
                f"--images=FOLDER"
            )
        return source
