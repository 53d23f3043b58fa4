"""What a face shares with other faces, as maps over their pixels."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from qcs_jax.images import augment
from qcs_jax.predict.interaction import Interaction, on_image


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """One anchor compared with m other faces at the highest pyramid level.

    A map tells how important each position is by its similarity to the other face
    (Eqs. 3 and 8): 1 is a position like all others. Between faces of one class large
    values are what makes the class; between classes they are what misleads.

    Attributes:
      anchor: uint8 `[s, s, 3]`, what the network saw of the anchor.
      others: uint8 `[m, s, s, 3]`, likewise.
      anchor_maps: float32 `[m, s, s]`, over the anchor, seen from each other face.
      other_maps: float32 `[m, s, s]`, over each other face, seen from the anchor.
      similarities: float32 `[m, N, N]`, S of Eq. 7; rows are positions of the anchor.
    """

    anchor: np.ndarray
    others: np.ndarray
    anchor_maps: np.ndarray
    other_maps: np.ndarray
    similarities: np.ndarray


def explain(
    interaction: Interaction, anchor: np.ndarray, others: np.ndarray
) -> Explanation:
    """Compares faces.

    Args:
      interaction: Cross branch of the network.
      anchor: uint8 `[r, r, 3]`, resized but not cropped.
      others: uint8 `[m, r, r, 3]`, m at least 1.
    """
    size = interaction.model.image_size
    pixels = np.concatenate([anchor[None], others])
    keys = interaction.keys(augment.preprocess(jnp.asarray(pixels), size))[-1]
    compared = interaction.compare(np.repeat(keys[:1], len(others), axis=0), keys[1:])
    of_anchor, of_others = compared.importance
    seen = augment.center_crop(pixels, size)
    return Explanation(
        seen[0],
        seen[1:],
        on_image(of_anchor, size),
        on_image(of_others, size),
        compared.similarities,
    )
