"""What the cross branch compares: keys, similarities, attention; arrays, no drawing."""

from __future__ import annotations

import dataclasses
import math
import os

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax import lax

from qcs_jax import checkpoint, models
from qcs_jax.config.network import create_model
from qcs_jax.models import csa
from qcs_jax.models.batch_layout import BatchLayout
from qcs_jax.system.errors import UserError

LEVELS = ("low", "middle", "high")  # of the pyramid, in the order of the tokens
_PASS = 32  # images in a pass


class Interaction:
    """The cross branch of a trained network, one image or one group at a time.

    The tokens of a level are a square grid, row by row (7 x 7 at the published size).

    Attributes:
      model: The network.
      variables: All of it: base and cross branch.
    """

    def __init__(self, model: models.QCS, variables: dict):
        """Puts a network on the default device.

        Args:
          model: "dcs" or "qcs", as `models.create` gives it.
          variables: `{"params": ..., "batch_stats": ...}`.

        Raises:
          UserError: for a baseline.
        """
        if model.branches == 1:
            raise UserError(
                "a baseline has no cross branch and compares nothing: give a "
                "checkpoint of dcs or qcs"
            )
        self.model = model
        self.variables = jax.device_put(variables)
        self._sown = jax.jit(self._intermediates)

    @classmethod
    def load(cls, path: str | os.PathLike, *, step: int | None = None) -> Interaction:
        """Loads the whole network of a checkpoint.

        Args:
          path: A run's workdir, its `checkpoints` folder, or one step's folder.
          step: Which step; default see `checkpoint.choose_step`.

        Raises:
          UserError: if there is no checkpoint, or it is damaged, or of a baseline.
        """
        variables, description, _ = checkpoint.load_variables(path, step=step)
        config = ml_collections.ConfigDict(description["config"])
        model = create_model(config, len(description["class_names"]))
        return cls(model, variables)

    def keys(self, images: np.ndarray | jax.Array) -> list[np.ndarray]:
        """What each image is compared by; it does not depend on the other images.

        Args:
          images: `[m, s, s, 3]` float32, normalised, m at least 1;
            `augment.preprocess` makes them from pixels.

        Returns:
          float32 `[m, N, C]` for each level of the pyramid.
        """
        parts = [
            self._keys(np.asarray(images[i : i + _PASS]))
            for i in range(0, len(images), _PASS)
        ]
        return [np.concatenate(level) for level in zip(*parts, strict=True)]

    def _keys(self, images: np.ndarray) -> list[np.ndarray]:
        n, count = self.model.branches, len(images)
        b = 1 << (-(-count // n) - 1).bit_length()  # few sizes, so few compilations
        laid_out = images[np.minimum(np.arange(n * b), count - 1)]
        sown = self._sown(self.variables, laid_out.reshape(n, b, *images.shape[1:]))
        keys = [np.asarray(level["qk"], np.float32) for level in sown]
        return [qk.reshape(n * b, *qk.shape[2:])[:count] for qk in keys]

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

        Raises:
          ValueError: for another number of branches.
        """
        sown = self._sown(self.variables, groups)
        weights = [np.asarray(level["attention"], np.float32) for level in sown]
        if self.model.interaction == "sdpa":
            # [n, b, queries, N]: entry 0 weighs positions of image 1, and the reverse.
            return [w.mean(axis=2)[::-1] for w in weights]
        return weights

    def _intermediates(self, variables: dict, images: jax.Array) -> list[dict]:
        """`qk` and `attention` of each level; the compiler drops the cross ViT."""
        _, state = self.model.apply(
            variables, images, method="interact", mutable=["intermediates"]
        )
        cross = state["intermediates"]["cross"]
        levels = [cross[f"csa{i}"] for i in range(1, len(LEVELS) + 1)]
        return [
            {name: level[name][0] for name in ("qk", "attention")} for level in levels
        ]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """p pairs of images compared position by position at one level.

    Rows i are positions of the first image, columns j of the second.

    Attributes:
      products: `[p, N, N]`, dot products over sqrt(C), as attention scales them.
      distances: `[p, N, N]`, Euclidean, the smallest of all pairs moved to 0 (Eq. 7).
      similarities: `[p, N, N]`, S: the largest of all distances minus each (Eq. 7).
    """

    products: np.ndarray
    distances: np.ndarray
    similarities: np.ndarray

    @property
    def importance(self) -> tuple[np.ndarray, np.ndarray]:
        """Importance of the positions of both images by S, relative (Eqs. 3, 5, 8).

        Returns:
          `[p, N]` and `[p, N]`, in units of what equal similarities give: 1 is a
          position like all others.
        """
        first, second = csa.importance(jnp.asarray(self.similarities))
        scale = math.sqrt(self.similarities.shape[-1])
        return np.asarray(first) / scale, np.asarray(second) / scale


def compare(first: np.ndarray, second: np.ndarray) -> Comparison:
    """Compares p pairs of images by the keys of one level.

    The extremes of Eq. 7 are taken over all the pairs, so that they can be compared
    with each other.

    Args:
      first: `[p, N, C]`, from `Interaction.keys`.
      second: `[p, N, C]`.
    """
    arrays = _compare(np.stack([first, second]))
    return Comparison(*(np.asarray(x, np.float32) for x in arrays))


@jax.jit
def _compare(keys: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    layout = BatchLayout()
    products = jnp.einsum("pic,pjc->pij", *keys, precision=lax.Precision.HIGHEST)
    distances = csa.pair_distances(keys, ((0, 1),), layout)[0]
    similarities = layout.maximum(distances[None]) - distances.reshape(-1)
    return (
        products * keys.shape[-1] ** -0.5,
        distances,
        similarities.reshape(distances.shape),
    )


def on_image(maps: np.ndarray, size: int) -> np.ndarray:
    """Maps over tokens as maps over the pixels that the network saw, bilinear.

    Every convolution with stride 2 is centred on each second pixel from pixel 0, so a
    token's receptive field is centred on the upper left pixel of its cell, not on the
    middle of the cell: token i belongs to pixel `i * size / side`.

    Args:
      maps: `[..., N]` over a square grid of tokens, row by row.
      size: Side s of the centre-cropped image in pixels.

    Returns:
      `[..., s, s]`; beyond the last token its value goes on.

    Raises:
      ValueError: if N is not a square.
    """
    side = math.isqrt(maps.shape[-1])
    if side * side != maps.shape[-1]:
        raise ValueError(f"{maps.shape[-1]} positions {maps.shape} are no square grid")
    centers = np.arange(side) * size / side
    hats = [np.interp(np.arange(size), centers, unit) for unit in np.eye(side)]
    spread = np.stack(hats, axis=-1).astype(maps.dtype)  # [s, side]
    return spread @ maps.reshape(*maps.shape[:-1], side, side) @ spread.T
