"""TFDS builder of the synthetic faces."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from etils import epath

from synthetic_faces import nuisance, renderer
from synthetic_faces.expression import CLASS_NAMES

_SEED = 0
_SIZES = {"train": 2100, "test": 700}

# The nuisances kept with each image, to measure what a model reads off them.
_CATEGORIES = {
    "skin": tuple(nuisance.SKINS),
    "hair_color": tuple(nuisance.HAIR_COLORS),
    "hair_style": nuisance.HAIR_STYLES,
    "facial_hair": nuisance.FACIAL_HAIR,
    "glasses": nuisance.GLASSES,
    "background": tuple(nuisance.BACKGROUNDS),
    "occlusion": nuisance.OCCLUSIONS,
}
_SCALARS = (
    "roll",
    "yaw",
    "pitch",
    "scale",
    "light_angle",
    "light_strength",
    "exposure",
    "blur",
    "noise",
)


@dataclasses.dataclass(eq=False, kw_only=True)
class SyntheticFacesConfig(tfds.core.BuilderConfig):
    """A variant of the dataset.

    Attributes:
      biased: Whether background and hair colour go with the label in `train`.
      sizes: Number of images per split; a smaller dataset is a prefix of a larger.
    """

    biased: bool
    sizes: dict[str, int] = dataclasses.field(default_factory=_SIZES.copy)


class Builder(tfds.core.GeneratorBasedBuilder):
    """Draws the faces and stores them as PNG."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        SyntheticFacesConfig(
            name="balanced",
            description="Nuisances are independent of the label.",
            biased=False,
        ),
        SyntheticFacesConfig(
            name="biased",
            description=(
                "The same faces; in train, background and hair colour are those of "
                f"the class with probability {renderer.RHO}."
            ),
            biased=True,
        ),
    ]
    # TFDS would look this up through a package that it does not depend on.
    code_path = epath.Path(__file__)

    def _info(self) -> tfds.core.DatasetInfo:
        size = renderer.IMAGE_SIZE
        features = {
            "image": tfds.features.Image(shape=(size, size, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=list(CLASS_NAMES)),
            "id": tfds.features.Text(),
            "intensity": tfds.features.Scalar(np.float32),
        }
        for name, values in _CATEGORIES.items():
            features[name] = tfds.features.ClassLabel(names=list(values))
        for name in _SCALARS:
            features[name] = tfds.features.Scalar(np.float32)
        return tfds.core.DatasetInfo(
            builder=self,
            description="Drawn faces whose expression is the label.",
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in renderer.SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        biased = self.builder_config.biased
        count = self.builder_config.sizes[split]
        for index in tqdm.trange(count, desc=f"Drawing {split}", unit=" faces"):
            face = renderer.draw_sample(_SEED, split, index, biased=biased)
            known = dataclasses.asdict(face.nuisances)
            yield (
                index,
                {
                    "image": face.png(),
                    "label": face.label,
                    "id": f"{split}/{index:05d}",
                    "intensity": face.intensity,
                    **{name: known[name] for name in (*_CATEGORIES, *_SCALARS)},
                },
            )
