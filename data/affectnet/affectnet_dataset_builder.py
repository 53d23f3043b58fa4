"""TFDS builder of AffectNet."""

import pathlib

import official
import tensorflow_datasets as tfds

from affectnet import release
from affectnet.labels import CLASS_NAMES


class Builder(official.OfficialBuilder):
    """AffectNet, annotated by hand: faces from the web, 7 or 8 expressions."""

    # Named after how many classes they have, in the order of the labels.
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="7", description="Without contempt."),
        tfds.core.BuilderConfig(name="8", description="With contempt."),
    ]
    how_to_obtain = release.HOW_TO_OBTAIN

    @property
    def class_names(self) -> tuple[str, ...]:
        return CLASS_NAMES[: int(self.builder_config.name)]

    @property
    def published(self) -> dict[str, tuple[int, ...]]:
        size = len(self.class_names)
        return {split: counts[:size] for split, counts in release.PUBLISHED.items()}

    def scan(self, root: pathlib.Path) -> official.Copy:
        return release.scan(root, len(self.class_names))
