"""A checkpoint and the images it is shown with; what several figures share."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
import ml_collections
import numpy as np

from qcs_jax import checkpoint
from qcs_jax.config.network import create_model
from qcs_jax.images import augment
from qcs_jax.metrics import run_log
from qcs_jax.metrics.counts import Counts
from qcs_jax.predict.interaction import Interaction
from qcs_jax.system.errors import UserError
from qcs_jax.visualize.features import Features
from qcs_jax.visualize.gallery import Gallery, of_folder

if TYPE_CHECKING:
    from qcs_jax.input.sources import Source


class Scene:
    """One trained network in front of its images; parts are made when first read.

    Attributes:
      config: Of the run.
      workdir: Folder of the run, where the log is.
      step: Of the checkpoint.
      model: The network.
      class_names: k names, in the order of the labels.
      seed: Chooses the faces that are shown.
    """

    def __init__(
        self,
        path: str | pathlib.Path,
        *,
        folder: str = "",
        data_dir: str = "",
        seed: int = 0,
        tell: Callable[[str], None] = print,
    ):
        """Reads the checkpoint.

        Args:
          path: A run's workdir, its `checkpoints` folder, or one step's folder.
          folder: Images in folders named after their class; default the test split of
            the run's own data set.
          data_dir: Root of prepared data sets; default that of the run, then
            `input.sources.data_root`.
          seed: Of the choice of faces.
          tell: Called with one line for whatever is left out.

        Raises:
          UserError: if there is no checkpoint, or it is damaged.
        """
        self._variables, self._about, self.step = checkpoint.load_variables(path)
        self.config = ml_collections.ConfigDict(self._about["config"])
        self.workdir = checkpoint.run_folder(path)
        self.class_names = tuple(self._about["class_names"])
        self.model = create_model(self.config, len(self.class_names))
        self.seed = seed
        self._folder, self._data_dir, self._tell = folder, data_dir, tell

    @functools.cached_property
    def interaction(self) -> Interaction:
        """The cross branch; raises UserError for a baseline."""
        return Interaction(self.model, self._variables)

    @functools.cached_property
    def gallery(self) -> Gallery:
        """The images; raises UserError if there are none of these classes."""
        if self._folder:
            side = self._about["preprocessing"]["resize"]
            return of_folder(self._folder, self.class_names, side, self._tell)
        source = self._test_source()
        return Gallery(
            f"split {source.split!r} of {source.name}",
            source.labels,
            self.class_names,
            self._about["preprocessing"]["resize"],
            source.encoded,
        )

    @functools.cached_property
    def features(self) -> tuple[np.ndarray, np.ndarray]:
        """Logits `[m, k]` and embeddings `[m, C]` of all images of the gallery."""
        everything = range(len(self.gallery.labels))
        base = Features(self.model, self._variables)
        return base.of(self.gallery.batches(everything))

    @property
    def confusion(self) -> np.ndarray:
        """int64 `[k, k]`, images of each class (row) by the base branch's answer."""
        return Counts.of(self.features[0], self.gallery.labels).confusion

    @property
    def splits(self) -> dict[str, np.ndarray]:
        """Labels by split: train (as prepared) and test, or those of the folder."""
        if self._folder:
            return {"images": self.gallery.labels}
        train = self._open(self.config.data.train_split)
        self._check_classes(train.name, train.class_names)
        return {"train": train.labels, "test": self.gallery.labels}

    @functools.cached_property
    def log(self) -> list[dict]:
        """Lines of the run's log; empty without one."""
        return run_log.read_log(self.workdir)

    def faces(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Different images of each class, the same ones for every figure.

        Args:
          count: Images of a class.

        Returns:
          What the network sees, as uint8 pixels and normalised float32, both
          `[count, k, s, s, 3]`.

        Raises:
          Unavailable: if a class has too few images.
        """
        chosen = self.gallery.pick(count, self.seed)
        pixels = self.gallery.pixels(chosen.reshape(-1))
        size = self.model.image_size
        normalized = np.asarray(augment.preprocess(jnp.asarray(pixels), size))
        seen = augment.center_crop(pixels, size)
        shape = (*chosen.shape, size, size, 3)
        return seen.reshape(shape), normalized.reshape(shape)

    def _test_source(self) -> Source:
        from qcs_jax.input import selection

        data = self.config.data
        source = self._open(data.test_split)
        # Checkpoints of earlier versions do not have these fields.
        if data.get("test_list"):
            source = selection.listed_in(source, data.test_list)
        if data.get("label_map"):
            source = selection.mapped_to(source, self.class_names, data.label_map)
        self._check_classes(source.name, source.class_names)
        return source

    def _open(self, split: str) -> Source:
        from qcs_jax.input import sources  # tensorflow_datasets takes seconds

        data = self.config.data
        if not data.name:
            raise UserError(
                "the checkpoint does not say which data set it was trained on: give "
                "--images=FOLDER"
            )
        return sources.open_split(data.name, split, self._data_dir or data.dir)

    def _check_classes(self, name: str, found: Sequence[str]) -> None:
        if tuple(found) != self.class_names:
            raise UserError(
                f"data set {name} has classes {', '.join(found)}, but the checkpoint "
                f"has {', '.join(self.class_names)}: give --images=FOLDER"
            )
