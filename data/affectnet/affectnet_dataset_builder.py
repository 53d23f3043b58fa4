"""TFDS builder of AffectNet."""

import dataclasses
import pathlib

import official
import tensorflow_datasets as tfds
from etils import epath

from affectnet import release
from affectnet.labels import CLASS_NAMES


@dataclasses.dataclass(eq=False, kw_only=True)
class AffectNetConfig(tfds.core.BuilderConfig):
    """A choice of classes.

    Attributes:
      num_classes: How many, in the order of the labels.
    """

    num_classes: int


class Builder(official.OfficialBuilder):
    """AffectNet, annotated by hand: faces from the web, 7 or 8 expressions."""

    BUILDER_CONFIGS = [
        AffectNetConfig(name="7", description="Without contempt.", num_classes=7),
        AffectNetConfig(name="8", description="With contempt.", num_classes=8),
    ]
    # TFDS would look this up through a package that it does not depend on.
    code_path = epath.Path(__file__)
    how_to_obtain = release.HOW_TO_OBTAIN

    @property
    def class_names(self) -> tuple[str, ...]:
        return CLASS_NAMES[: self.builder_config.num_classes]

    @property
    def published(self) -> dict[str, tuple[int, ...]]:
        size = self.builder_config.num_classes
        return {split: counts[:size] for split, counts in release.PUBLISHED.items()}

    def scan(self, root: pathlib.Path) -> official.Copy:
        return release.scan(root, self.builder_config.num_classes)
