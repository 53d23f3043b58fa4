"""A configured run: its data, its network, and the machine under both."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import grain
import jax
import ml_collections
import numpy as np

from qcs_jax import models
from qcs_jax.checkpoint.description import describe
from qcs_jax.config import base as config_lib
from qcs_jax.config.network import create_model
from qcs_jax.input import pipeline, sampling, selection, sources
from qcs_jax.system.errors import UserError
from qcs_jax.train.logits import logits_of
from qcs_jax.train.step import replicate


class Run:
    """What a validated configuration stands for; its parts are made when first read.

    Attributes:
      config: See `config.base_config`.
      layout: Hosts and devices.
      notes: What was done to the data, for people to read; grows as splits are opened.
    """

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        trained_on: Sequence[str] | None = None,
    ):
        """Checks the configuration against itself and against the devices.

        Args:
          config: See `config.base_config`.
          trained_on: Class names of a trained network; default those of the training
            split.

        Raises:
          UserError: for a configuration that cannot run.
        """
        config_lib.validate(config)
        self.config = config
        self.notes: list[str] = []
        self._trained_on = trained_on
        self.layout = pipeline.Layout.current()
        parts = self.layout.hosts * self.layout.devices
        trains = trained_on is None
        for field in ("batch_size", "eval_batch_size")[not trains :]:
            size = config.train[field]
            if size % parts:
                raise UserError(
                    f"train.{field}={size} cannot be split over {parts} devices: give "
                    f"a multiple of {parts}"
                )

    @functools.cached_property
    def _divided(self) -> tuple[sources.Source, sources.Source | None]:
        """The training split of the data set itself: to train on, and held out."""
        data = self.config.data
        source = self._open(data.name, data.train_split)
        if not data.val_fraction:
            return source, None
        rest, out = selection.held_out(source, data.val_fraction, self.config.seed)
        self.notes.append(f"{len(out)} of {len(source)} training images held out")
        return rest, out

    @functools.cached_property
    def held_out_source(self) -> sources.Source | None:
        """Training images that choose the epoch; as badly labelled as the others."""
        data, source = self.config.data, self._divided[1]
        if source is None or not data.label_noise:
            return source
        return selection.with_label_noise(source, data.label_noise, self.config.seed)

    @functools.cached_property
    def train_source(self) -> sources.Source:
        """What is trained on, with what `config.data` adds, leaves out and spoils."""
        data, seed = self.config.data, self.config.seed
        source = self._divided[0]
        for name, classes in config_lib.parse_extra(data.extra):
            pairs = ",".join(f"{c}={c}" for c in classes)
            extra = self._open(name, "train")
            if _share_images(extra.name, source.name.partition("+")[0]):
                raise UserError(
                    f"data.extra: {name} has the images of {data.name} itself; with "
                    f"data.val_fraction, held-out ones would be trained on"
                )
            extra = selection.mapped_to(extra, source.class_names, pairs)
            source = selection.joined(source, extra)
            self.notes.append(f"{len(extra)} images of {name} added to training")
        if data.train_fraction < 1:
            source = selection.fraction_of(source, data.train_fraction, seed)
            self.notes.append(f"training on {len(source)} images")
        if data.label_noise > 0:
            source = selection.with_label_noise(source, data.label_noise, seed)
            wrong = round(data.label_noise * len(source))
            self.notes.append(f"{wrong} of {len(source)} training labels are wrong")
        return source

    @functools.cached_property
    def test_source(self) -> sources.Source:
        """The test split, or the part of it that counts."""
        data = self.config.data
        source = whole = self._open(data.name, data.test_split)
        if data.test_list:
            source = selection.listed_in(source, data.test_list)
        if data.label_map:
            source = selection.mapped_to(source, self.class_names, data.label_map)
        if len(source) < len(whole):
            self.notes.append(f"testing on {len(source)} of {len(whole)} images")
        return source

    def _open(self, name: str, split: str) -> sources.Source:
        return sources.open_split(name, split, self.config.data.dir)

    @property
    def class_names(self) -> tuple[str, ...]:
        """In the order of the data set's metadata, which is that of the logits."""
        if self.config.data.label_map:
            return tuple(self._trained_on or self.train_source.class_names)
        return self.test_source.class_names

    @functools.cached_property
    def model(self) -> models.QCS:
        return create_model(self.config, len(self.class_names))

    @property
    def description(self) -> dict:
        """What its checkpoints say about themselves."""
        return describe(self.config, self.class_names, self.model.image_size)

    @functools.cached_property
    def epoch_steps(self) -> int:
        c = self.config
        return pipeline.steps_per_epoch(
            len(self.train_source), c.train.batch_size, c.data.epoch_fraction
        )

    @property
    def total_steps(self) -> int:
        return self.config.train.epochs * self.epoch_steps

    @property
    def images_per_step(self) -> int:
        return self.config.train.batch_size * self.model.branches

    def train_batches(self) -> grain.MapDataset:
        """The batches of the run, by number; see `pipeline.train_batches`."""
        c = self.config
        index = sampling.LabelIndex(self.train_source.labels, len(self.class_names))
        draw = sampling.Draw(
            index, self.model.branches, c.data.anchors, c.data.negatives
        )
        return pipeline.train_batches(
            self.train_source,
            draw,
            batch_size=c.train.batch_size,
            side=c.data.resize,
            seed=c.seed,
            epoch_fraction=c.data.epoch_fraction,
            layout=self.layout,
        )

    def predict(
        self,
        eval_step: Callable[[dict, jax.Array], jax.Array],
        variables: Any,
        source: sources.Source,
    ) -> np.ndarray:
        """Logits `[N, k]` of the base branch for every image of a split.

        Args:
          eval_step: From `train.step.make_eval_step`.
          variables: Parameters and running statistics.
          source: `test_source` or `held_out_source`.
        """
        batches = pipeline.eval_batches(
            source,
            batch_size=self.config.train.eval_batch_size,
            side=self.config.data.resize,
            layout=self.layout,
        )
        return logits_of(eval_step, replicate(variables), batches, len(source))


def _share_images(name: str, other: str) -> bool:
    """Whether two data sets have images in common.

    The configurations of a data set are views of the same images, but for folders,
    each of which is a data set of its own.
    """
    return name == other or (
        name.partition("/")[0] == other.partition("/")[0] != "image_folder"
    )
