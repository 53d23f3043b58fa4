"""What the cross branch compares: keys, similarities, attention; maps over faces."""

from __future__ import annotations

import dataclasses
import functools
import math
import os

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from PIL import Image

from qcs_jax.checkpoint import Trained
from qcs_jax.images import augment
from qcs_jax.models import csa
from qcs_jax.models.batch_layout import BatchLayout, fill_up
from qcs_jax.models.qcs import QCS
from qcs_jax.system.errors import UserError

LEVELS = ("low", "middle", "high")  # of the pyramid, in the order of the tokens
_PASS = 32  # images in a pass
_FACE = 192  # pixels, at least, that a face is wide in a picture
_OPACITY = 0.6  # of a map over a face
# Dark blue, green, yellow: brighter is more, also without colour vision.
_COLORS = np.array([(60, 30, 100), (40, 100, 140), (50, 170, 120), (250, 230, 40)])


@dataclasses.dataclass(frozen=True)
class Comparison:
    """p pairs of images compared position by position at one level.

    Rows i are positions of the first image, columns j of the second.

    Attributes:
      products: `[p, N, N]`, dot products over sqrt(C), as attention scales them.
      distances: `[p, N, N]`, D, the smallest of all pairs moved to 0 (Eq. 7).
      similarities: `[p, N, N]`, S: the largest of all distances minus each (Eq. 7).
    """

    products: np.ndarray
    distances: np.ndarray
    similarities: np.ndarray

    @classmethod
    def of(
        cls, first: np.ndarray, second: np.ndarray, metric: str = "csa"
    ) -> Comparison:
        """Compares p pairs of images by their keys, `[p, N, C]` each.

        The extremes of Eq. 7 are taken over all the pairs, so that they can be
        compared with each other. `metric` is a name of `csa.METRICS`.
        """
        arrays = _compare(np.stack([first, second]), metric)
        return cls(*(np.asarray(x, np.float32) for x in arrays))

    @property
    def importance(self) -> tuple[np.ndarray, np.ndarray]:
        """Importance of the positions of both images by S (Eqs. 3, 5, 8), `[p, N]`.

        In units of what equal similarities give: 1 is a position like all others.
        """
        first, second = csa.importance(jnp.asarray(self.similarities))
        scale = math.sqrt(self.similarities.shape[-1])
        return np.asarray(first) / scale, np.asarray(second) / scale


class Interaction:
    """The cross branch of a trained network, one image or one group at a time.

    The tokens of a level are a square grid, row by row (7 x 7 at the published size).
    """

    def __init__(self, model: QCS, variables: dict):
        """Puts both branches on the default device; UserError if there is one alone."""
        if model.branches == 1:
            raise UserError(
                "a baseline has no cross branch and compares nothing: give a "
                "checkpoint of dcs or qcs"
            )
        if "cross" not in variables["params"]:
            raise UserError(
                "this is the base branch alone, which compares nothing: give the run "
                "itself, or what was exported with --whole"
            )
        self.model = model
        self.variables = jax.device_put(variables)

    @classmethod
    def load(cls, path: str | os.PathLike, *, step: int | None = None) -> Interaction:
        """Loads both branches; for arguments and errors see `checkpoint.Trained`."""
        trained = Trained.load(path, step=step)
        return cls(trained.model, trained.variables)

    def keys(self, images: np.ndarray | jax.Array) -> list[np.ndarray]:
        """Returns what each image is compared by, whatever the other images are.

        Takes float32 `[m, s, s, 3]`, normalised, m at least 1; `augment.preprocess`
        makes them from pixels. Returns float32 `[m, N, C]` for each level.
        """
        parts = []
        for i in range(0, len(images), _PASS):
            part = np.asarray(images[i : i + _PASS])
            filled = fill_up(part, self.model.branches)
            groups = filled.reshape(self.model.branches, -1, *part.shape[1:])
            sown = _intermediates(self.variables, groups, self.model)
            keys = [np.asarray(level["qk"], np.float32) for level in sown]
            parts.append([x.reshape(-1, *x.shape[2:])[: len(part)] for x in keys])
        return [np.concatenate(level) for level in zip(*parts, strict=True)]

    def compare(self, first: np.ndarray, second: np.ndarray) -> Comparison:
        """Compares pairs of images by their keys, `[p, N, C]`, as the network does.

        With scaled dot-product attention, which has no distances, they are Euclidean.
        """
        metric = self.model.interaction
        return Comparison.of(first, second, "csa" if metric == "sdpa" else metric)

    def attention(self, groups: np.ndarray | jax.Array) -> list[np.ndarray]:
        """Attention w over the positions of each image, Eqs. 4, 6 and 9.

        With scaled dot-product attention, which has weights for each query, it is the
        mean over the queries (Figure 9, row 2).

        Args:
          groups: `[n, b, s, s, 3]` float32, normalised: b pairs (anchor, positive) or
            quadruplets (anchor, positive, negative, second negative). Extremes of the
            distances (Eq. 7) are shared by the b groups.

        Returns:
          float32 `[n, b, N]` for each level of the pyramid, each summing to 1 over N.
        """
        sown = _intermediates(self.variables, groups, self.model)
        weights = [np.asarray(level["attention"], np.float32) for level in sown]
        if self.model.interaction == "sdpa":
            # [n, b, queries, N]: entry 0 weighs positions of image 1, and the reverse.
            return [w.mean(axis=2)[::-1] for w in weights]
        return weights

    def explain(self, anchor: np.ndarray, others: np.ndarray) -> Explanation:
        """Compares a face, uint8 `[r, r, 3]`, with m others, `[m, r, r, 3]`."""
        size = self.model.image_size
        pixels = np.concatenate([anchor[None], others])
        keys = self.keys(augment.preprocess(jnp.asarray(pixels), size))[-1]
        compared = self.compare(np.repeat(keys[:1], len(others), axis=0), keys[1:])
        first, second = (on_image(values, size) for values in compared.importance)
        seen = augment.center_crop(pixels, size)
        return Explanation(seen[0], seen[1:], first, second, compared.similarities)


def on_image(maps: np.ndarray, size: int) -> np.ndarray:
    """Maps `[..., N]` over tokens, row by row, as maps `[..., s, s]` over pixels.

    Bilinear between tokens; beyond the last one its value goes on.

    Every convolution with stride 2 is centred on each second pixel from pixel 0, so a
    token's receptive field is centred on the upper left pixel of its cell, not on the
    middle of the cell: token i belongs to pixel `i * size / side`.
    """
    side = math.isqrt(maps.shape[-1])
    if side * side != maps.shape[-1]:
        raise ValueError(f"{maps.shape[-1]} positions {maps.shape} are no square grid")
    centers = np.arange(side) * size / side
    hats = [np.interp(np.arange(size), centers, unit) for unit in np.eye(side)]
    spread = np.stack(hats, axis=-1).astype(maps.dtype)  # [s, side]
    return spread @ maps.reshape(*maps.shape[:-1], side, side) @ spread.T


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
        """Writes what `draw` returns; the suffix says in which format."""
        self.draw().save(path)


def _overlay(face: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A map over the grey face; values of 0 to 1 go from blue to yellow."""
    grey = (face @ np.array([0.299, 0.587, 0.114]))[..., None]
    stops = np.linspace(0, 1, len(_COLORS))
    colors = [np.interp(values, stops, channel) for channel in _COLORS.T]
    mixed = (1 - _OPACITY) * grey + _OPACITY * np.stack(colors, axis=-1)
    return mixed.round().astype(np.uint8)


@functools.partial(jax.jit, static_argnames="model")
def _intermediates(variables: dict, groups: jax.Array, model: QCS) -> list[dict]:
    """`qk` and `attention` of each level; the compiler drops the cross ViT."""
    _, state = model.apply(
        variables, groups, method="interact", mutable=["intermediates"]
    )
    cross = state["intermediates"]["cross"]
    levels = [cross[f"csa{i}"] for i in range(1, len(LEVELS) + 1)]
    return [{name: level[name][0] for name in ("qk", "attention")} for level in levels]


@functools.partial(jax.jit, static_argnames="metric")
def _compare(keys: jax.Array, metric: str) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`[2, p, N, C]` -> products, distances and similarities, `[p, N, N]` each."""
    layout = BatchLayout()
    products = jnp.einsum("pic,pjc->pij", *keys, precision=lax.Precision.HIGHEST)
    distances = csa.pair_distances(keys, ((0, 1),), layout, metric)
    similarities = csa.similarities(distances, layout)
    return products * keys.shape[-1] ** -0.5, distances[0], similarities[0]
