"""What a face shares with other faces, as maps over their pixels."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import jax.numpy as jnp
import numpy as np
from PIL import Image

from qcs_jax.images import augment
from qcs_jax.predict.interaction import Interaction, on_image

_FACE = 192  # pixels, at least, that a face is wide in a picture
_OPACITY = 0.6  # of a map over a face
# Dark blue, green, yellow: brighter is more, also without colour vision.
_COLORS = np.array([(60, 30, 100), (40, 100, 140), (50, 170, 120), (250, 230, 40)])


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

    def draw(self) -> Image.Image:
        """Returns a picture: a row for each other face.

        Anchor, its map over it, the map over the other face, and that face. Yellow is
        important, blue is not; all maps have one scale.
        """
        maps = np.stack([self.anchor_maps, self.other_maps])
        low, high = np.percentile(maps, [1, 99])
        maps = (maps - low) / max(high - low, 1e-6)
        rows = []
        for other, anchor_map, other_map in zip(self.others, *maps, strict=True):
            drawn = _overlay(self.anchor, anchor_map), _overlay(other, other_map)
            rows.append(np.concatenate([self.anchor, *drawn, other], axis=1))
        picture = Image.fromarray(np.concatenate(rows))
        scale = -(-_FACE // len(self.anchor))  # so that small faces can be seen
        size = (scale * picture.width, scale * picture.height)
        return picture.resize(size, Image.Resampling.BICUBIC)

    def save(self, path: str | os.PathLike) -> None:
        """Writes what `draw` returns; the suffix says in which format.

        Raises:
          OSError: if it cannot be written.
          ValueError: for a suffix that Pillow does not know.
        """
        self.draw().save(pathlib.Path(path))


def _overlay(face: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A map over the grey face; values of 0 to 1 go from blue to yellow."""
    grey = (face @ np.array([0.299, 0.587, 0.114]))[..., None]
    stops = np.linspace(0, 1, len(_COLORS))
    colors = [np.interp(values, stops, channel) for channel in _COLORS.T]
    mixed = (1 - _OPACITY) * grey + _OPACITY * np.stack(colors, axis=-1)
    return mixed.round().astype(np.uint8)


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
