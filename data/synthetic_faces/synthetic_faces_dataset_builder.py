"""TFDS builder of the synthetic faces."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tqdm

from ..generation import ImageBuilder
from . import nuisance, renderer

_SEED = 0
_RHO = 0.9  # of the config that is called just "biased"
_RHOS = (0.0, 0.5, 0.8, 0.95)  # of the others
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
_SCALARS = "roll yaw pitch scale light_angle light_strength exposure blur noise".split()


@dataclasses.dataclass(eq=False, kw_only=True)
class SyntheticFacesConfig(tfds.core.BuilderConfig):
    """A variant of the dataset; a smaller one is a prefix of a larger."""

    # How often background and hair colour are those of the class in `train`; None:
    # they say nothing about it.
    rho: float | None = None
    sizes: dict[str, int] = dataclasses.field(default_factory=_SIZES.copy)


def _biased(name: str, rho: float) -> SyntheticFacesConfig:
    return SyntheticFacesConfig(
        name=name,
        description=(
            "The same faces; in train, background and hair colour are those of the "
            f"class with probability {rho:g}, and those of another one otherwise."
        ),
        rho=rho,
    )


class Builder(ImageBuilder):
    """Drawn faces whose expression is the label."""

    BUILDER_CONFIGS = [
        SyntheticFacesConfig(
            name="balanced",
            description="Nuisances are independent of the label.",
        ),
        _biased("biased", _RHO),
        *(_biased(f"biased_{rho:g}", rho) for rho in _RHOS),
    ]
    image_feature = tfds.features.Image(
        shape=(renderer.IMAGE_SIZE, renderer.IMAGE_SIZE, 3), encoding_format="png"
    )
    more_features = {
        "intensity": tfds.features.Scalar(np.float32),
        **{k: tfds.features.ClassLabel(names=list(v)) for k, v in _CATEGORIES.items()},
        **{name: tfds.features.Scalar(np.float32) for name in _SCALARS},
    }

    group_columns = ("skin", "facial_hair", "glasses", "occlusion")

    def groups_of(self, example: Mapping[str, Any]) -> Sequence[str]:
        return [_CATEGORIES[column][example[column]] for column in self.group_columns]

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        del dl_manager  # nothing to download
        splits = {split: self._generate_examples(split) for split in renderer.SPLITS}
        return self.with_groups(splits)

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        rho = self.builder_config.rho
        count = self.builder_config.sizes[split]
        for index in tqdm.trange(count, desc=f"Drawing {split}", unit=" faces"):
            face = renderer.draw_sample(_SEED, split, index, rho=rho)
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
