"""The label: facial expressions as combinations of muscle movements.

The vocabulary is that of the Facial Action Coding System (FACS): an *action unit* (AU)
is one visible movement, an expression is a handful of them. A value of 0 is a face at
rest and 1 a movement at full strength.
"""

import dataclasses

import numpy as np

from qcs_jax.system.datasets import DATASETS


@dataclasses.dataclass(frozen=True)
class ActionUnits:
    """Strength of each movement, 0 (rest) to about 1 (full)."""

    inner_brow_raise: float = 0.0  # AU 1
    outer_brow_raise: float = 0.0  # AU 2
    brow_lower: float = 0.0  # AU 4: down and together
    upper_lid_raise: float = 0.0  # AU 5
    cheek_raise: float = 0.0  # AU 6: lower lid pushed up by the cheek
    lid_tighten: float = 0.0  # AU 7
    nose_wrinkle: float = 0.0  # AU 9
    upper_lip_raise: float = 0.0  # AU 10
    lip_corner_pull: float = 0.0  # AU 12: the smile
    lip_corner_depress: float = 0.0  # AU 15
    chin_raise: float = 0.0  # AU 17: lower lip pushed up
    lip_stretch: float = 0.0  # AU 20: corners pulled sideways
    lip_tighten: float = 0.0  # AU 23: thin, pressed lips
    lips_part: float = 0.0  # AU 25: an opening as wide as the mouth
    jaw_drop: float = 0.0  # AU 26: a tall, narrow opening
    lid_droop: float = 0.0  # AU 43


# People do not all express a feeling alike: one variant is picked at random.
PROTOTYPES: dict[str, tuple[ActionUnits, ...]] = {
    "neutral": (ActionUnits(),),
    "happiness": (
        ActionUnits(cheek_raise=0.9, lip_corner_pull=1.0),
        ActionUnits(cheek_raise=1.0, lip_corner_pull=1.0, lips_part=0.7),
    ),
    "surprise": (
        ActionUnits(
            inner_brow_raise=1.0,
            outer_brow_raise=1.0,
            upper_lid_raise=0.8,
            jaw_drop=1.0,
        ),
    ),
    "sadness": (
        ActionUnits(
            inner_brow_raise=1.0,
            brow_lower=0.3,
            lip_corner_depress=1.0,
            chin_raise=0.6,
            lid_droop=0.7,
        ),
    ),
    "anger": (
        ActionUnits(
            brow_lower=1.0,
            upper_lid_raise=0.2,
            lid_tighten=0.6,
            lip_tighten=1.0,
            chin_raise=0.3,
        ),
        ActionUnits(
            brow_lower=1.0,
            upper_lid_raise=0.2,
            lid_tighten=0.6,
            lip_tighten=0.7,
            lips_part=0.6,
        ),
    ),
    "disgust": (
        ActionUnits(
            brow_lower=0.4,
            cheek_raise=0.4,
            lid_tighten=0.8,
            nose_wrinkle=1.0,
            upper_lip_raise=1.0,
            lip_corner_depress=0.6,
        ),
        ActionUnits(
            brow_lower=0.4,
            cheek_raise=0.4,
            lid_tighten=0.8,
            nose_wrinkle=1.0,
            upper_lip_raise=1.0,
            lip_corner_depress=0.4,
            lips_part=0.5,
        ),
    ),
    "fear": (
        ActionUnits(
            inner_brow_raise=1.0,
            outer_brow_raise=0.5,
            brow_lower=0.6,
            upper_lid_raise=1.0,
            lip_stretch=1.0,
            lips_part=0.7,
        ),
    ),
}

CLASS_NAMES = DATASETS["synthetic_faces"].class_names

_INTENSITY = (0.6, 1.0)
_RESTING_TONE = 0.04  # nobody's face is perfectly at rest


def sample(
    rng: np.random.Generator, label: int, intensity: float | None = None
) -> tuple[ActionUnits, float]:
    """Draws one face's expression of a class, and its intensity (0 for neutral).

    The intensity is the strength of the whole expression; drawn uniformly when None.
    """
    name = CLASS_NAMES[label]
    variants = PROTOTYPES[name]
    prototype = variants[rng.integers(len(variants))]
    drawn = rng.uniform(*_INTENSITY)
    if intensity is None:
        intensity = drawn
    strengths = np.array(dataclasses.astuple(prototype))
    strengths *= intensity * rng.uniform(0.85, 1.1, strengths.size)
    strengths += np.abs(rng.normal(0.0, _RESTING_TONE, strengths.size))
    return ActionUnits(*strengths.tolist()), 0.0 if name == "neutral" else intensity
