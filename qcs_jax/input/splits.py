"""The splits that a configuration asks for."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import ml_collections

from qcs_jax.config.validate import parse_extra
from qcs_jax.input import selection, sources
from qcs_jax.input.sources import Source
from qcs_jax.system.datasets import share_images
from qcs_jax.system.errors import UserError


class Splits:
    """What `config.data` says about the images; each split is opened when first read.

    The `notes` of a split say what was done to it.
    """

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        *,
        class_names: Sequence[str] | None = None,
        data_dir: str = "",
    ):
        """Opens nothing yet; `class_names` are those of a trained network."""
        self._data, self._seed = config.data, config.seed
        self._trained_on = class_names
        self._data_dir = data_dir or config.data.dir

    @functools.cached_property
    def train(self) -> Source:
        """What is trained on: with what is added, without what is left out."""
        data, seed = self._data, self._seed
        source, notes = self._divided[0], []
        for name, classes in parse_extra(data.extra):
            extra = self._open(name, "train")
            if share_images(extra.name, source.name.partition("+")[0]):
                raise UserError(
                    f"data.extra: {name} has the images of {data.name} itself; with "
                    f"data.val_fraction, held-out ones would be trained on"
                )
            pairs = ",".join(f"{c}={c}" for c in classes)
            extra = selection.mapped_to(extra, source.class_names, pairs)
            source = selection.joined(source, extra)
            notes.append(f"{len(extra)} images of {name} added to training")
        if data.train_fraction < 1:
            source = selection.fraction_of(source, data.train_fraction, seed)
            notes.append(f"training on {len(source)} images")
        if data.label_noise > 0:
            source = selection.with_label_noise(source, data.label_noise, seed)
            wrong = round(data.label_noise * len(source))
            notes.append(f"{wrong} of {len(source)} training labels are wrong")
        return dataclasses.replace(source, notes=tuple(notes))

    @functools.cached_property
    def held_out(self) -> Source | None:
        """Images that choose the epoch; as badly labelled as those trained on."""
        data, source = self._data, self._divided[1]
        if source is None:
            return None
        source = selection.with_label_noise(source, data.label_noise, self._seed)
        note = f"{len(source)} of {len(self.whole_train)} training images held out"
        if data.val_split:
            note = f"{len(source)} images of split {source.split!r} choose the epoch"
            if data.val_split == data.test_split:
                note += ", and are those of the test: its numbers are optimistic"
        return dataclasses.replace(source, notes=(note,))

    @functools.cached_property
    def test(self) -> Source:
        """The test split, or the part of it that counts."""
        data = self._data
        source = complete = self._open(data.name, data.test_split)
        if data.test_list:
            source = selection.listed_in(source, data.test_list)
        if data.label_map:
            names = self._trained_on or self.train.class_names
            source = selection.mapped_to(source, names, data.label_map)
        notes = source.notes
        if len(source) < len(complete):
            notes = (f"testing on {len(source)} of {len(complete)} images", *notes)
        return dataclasses.replace(source, notes=notes)

    @functools.cached_property
    def whole_train(self) -> Source:
        """The training split as it was prepared."""
        return self._open(self._data.name, self._data.train_split)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in the order of the data set's metadata, that of the logits."""
        return tuple(self.test.class_names)

    @functools.cached_property
    def _divided(self) -> tuple[Source, Source | None]:
        """What is left to train on, and what is held out."""
        source, fraction = self.whole_train, self._data.val_fraction
        if split := self._data.val_split:
            return source, self._open(self._data.name, split)
        if not fraction:
            return source, None
        return selection.held_out(source, fraction, self._seed)

    def _open(self, name: str, split: str) -> Source:
        return sources.open_split(name, split, self._data_dir)
