"""Cross Similarity Attention (CSA): what images share and what sets them apart.

The pure functions work on the tokens of one pyramid level, `[n, b, N, C]`. Branches
are 2 of one class (DCS), or 4 (QCS): 0 anchor, 1 positive, 2 negative, 3 second
negative, where 2 and 3 share a class. Distances are float32 at full matrix precision
on every device: their differences carry the information.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from qcs_jax.models import layers
from qcs_jax.models.batch_layout import BatchLayout

# Branches m, n whose matrix M[i, j] has i over positions of m, j over those of n.
SAME_CLASS = ((0, 1), (2, 3))
DIFFERENT_CLASS = ((0, 2), (1, 3))


def euclidean(x: jax.Array, y: jax.Array) -> jax.Array:
    """Euclidean distances between all positions, Eq. 1.

    The gradient is zero, not infinite, where two positions coincide to rounding.

    Args:
      x: `[..., N, C]`.
      y: `[..., M, C]`.

    Returns:
      `[..., N, M]` in at least float32.
    """
    x, y = layers.full(x), layers.full(y)
    product = jnp.einsum("...ic,...jc->...ij", x, y, precision=lax.Precision.HIGHEST)
    x2 = jnp.sum(x * x, axis=-1)[..., :, None]
    y2 = jnp.sum(y * y, axis=-1)[..., None, :]
    squares = x2 + y2 - 2 * product
    apart = squares > 4 * jnp.finfo(x.dtype).eps * (x2 + y2)
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, squares, 1)), 0)


# How far apart two positions are, by the name of the interaction: all that compares
# tokens, in training and in what is drawn or explained, looks here.
METRICS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {"csa": euclidean}


def importance(matrix: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Importance of the positions of both images of a pair, Eqs. 3, 5 and 8.

    For the first image, `sum_j M[i, j] / ||M[:, j]||_2`: every position j of the
    partner spreads one unit of attention. The second image has the transpose.

    Args:
      matrix: `[..., N, M]`, similarities or distances, not negative.

    Returns:
      `[..., N]` and `[..., M]`.
    """
    squares = matrix * matrix

    def inverse_norm(axis: int) -> jax.Array:
        norm2 = jnp.sum(squares, axis=axis, keepdims=True)
        return lax.rsqrt(jnp.maximum(norm2, 1e-24))

    of_rows = jnp.sum(matrix * inverse_norm(-2), axis=-1)
    of_columns = jnp.sum(matrix * inverse_norm(-1), axis=-2)
    return of_rows, of_columns


def pair_distances(
    tokens: jax.Array,
    pairs: tuple[tuple[int, int], ...],
    layout: BatchLayout,
    metric: str = "csa",
) -> jax.Array:
    """Distances D within each pair of branches, shifted to start at 0, Eq. 7.

    Args:
      tokens: `[n, b, N, C]`.
      pairs: p pairs of branches.
      layout: Layout of the batch; the minimum is taken over the global one.
      metric: A name of `METRICS`.

    Returns:
      `[p, b, N, N]`.
    """
    first, second = (jnp.array(branches) for branches in zip(*pairs, strict=True))
    d = METRICS[metric](tokens[first], tokens[second])
    return d - lax.expand_dims(layout.minimum(d), (1, 2, 3))


def similarities(distances: jax.Array, layout: BatchLayout) -> jax.Array:
    """Similarities `S = max(D) - D` of distances D, Eq. 7: `[p, b, N, N]` both.

    The maximum is taken over the global batch.
    """
    return lax.expand_dims(layout.maximum(distances), (1, 2, 3)) - distances


def csa_maps(
    tokens: jax.Array,
    layout: BatchLayout,
    *,
    metric: str = "csa",
    information: str = "sd",
    weight_of_d: float | jax.Array = 1.0,
) -> jax.Array:
    """Attention of each branch over its own positions, Eqs. 4, 6 and 9.

    Args:
      tokens: `[n, b, N, C]`, n = 2 or 4.
      layout: Layout of the batch.
      metric: A name of `METRICS`.
      information: "s" (same class; all that 2 branches have), "d" (different class), or
        "sd", their sum with the second times `weight_of_d`. Rows of Table 2.
      weight_of_d: `k = gamma + tanh(theta)`.

    Returns:
      `[n, b, N]`, each summing to 1 over N.
    """
    scores = []
    if information != "d" or len(tokens) == 2:
        d = pair_distances(tokens, SAME_CLASS[: len(tokens) // 2], layout, metric)
        first, second = importance(similarities(d, layout))  # branches (0, 2), (1, 3)
        scores.append(jnp.stack([first, second], axis=1).reshape(-1, *first.shape[1:]))
    if information != "s" and len(tokens) == 4:
        d = pair_distances(tokens, DIFFERENT_CLASS, layout, metric)
        of_d = jnp.concatenate(importance(d))  # branches (0, 1), (2, 3)
        scores.append(of_d if information == "d" else weight_of_d * of_d)
    return nn.softmax(functools.reduce(jnp.add, scores))


def sdpa_maps(tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Scaled dot-product attention between two branches (Table 1, row 3).

    Args:
      tokens: `[2, b, N, C]`.

    Returns:
      `[b, N, N]` twice: positions of image 1 seen from each position of image 0, and
      the reverse, each summing to 1 over the last axis.
    """
    x, y = layers.full(tokens)
    product = jnp.einsum("bic,bjc->bij", y, x, precision=lax.Precision.HIGHEST)
    scores = product * tokens.shape[-1] ** -0.5  # i over image 1, j over image 0
    return nn.softmax(scores.swapaxes(-1, -2)), nn.softmax(scores)


class CrossAttention(nn.Module):
    """The interaction of branches at one pyramid level; all branches share its weights.

    Attributes:
      interaction: A name of `METRICS`, or "sdpa" (two branches only; Table 1, row 3).
      information: "sd", "s" or "d" (Table 2); see `csa_maps`.
      gamma: Constant part of the weight of D in Eq. 9.
      residual: "normalized": `y = h + w v; y' = LN(y); y' + MLP(y')` with `h = LN(x)`.
        "pre_norm": `y = x + w v; y + MLP(LN(y))`, as the published 8-class DCS.
    """

    interaction: str = "csa"
    information: str = "sd"
    gamma: float = 1.0
    residual: str = "normalized"
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, layout: BatchLayout) -> jax.Array:
        """`[n, b, N, C]` -> `[n, b, N, C]`."""
        c = x.shape[-1]
        h = layers.layer_norm(1e-5, self.dtype, name="norm1")(x)
        projection = layers.dense(c, 2 * c, dtype=self.dtype, name="qk_v")(h)
        qk, v = jnp.split(projection, 2, axis=-1)
        self.sow("intermediates", "qk", qk)
        sdpa = self.interaction == "sdpa"
        update = self._sdpa(qk, v) if sdpa else self._csa(qk, v, layout)
        norm2 = layers.layer_norm(1e-5, self.dtype, name="norm2")
        mlp = layers.Mlp(dtype=self.dtype, name="mlp")
        if self.residual == "pre_norm":
            y = x.astype(self.dtype) + update
            return y + mlp(norm2(y))
        y = norm2(h + update)
        return y + mlp(y)

    def _csa(self, qk: jax.Array, v: jax.Array, layout: BatchLayout) -> jax.Array:
        weight_of_d: float | jax.Array = self.gamma
        if self.information == "sd" and len(qk) == 4:
            theta = self.param("theta", nn.initializers.zeros, ())
            weight_of_d = self.gamma + jnp.tanh(theta)
        w = csa_maps(
            qk,
            layout,
            metric=self.interaction,
            information=self.information,
            weight_of_d=weight_of_d,
        )
        self.sow("intermediates", "attention", w)
        return w[..., None].astype(self.dtype) * v

    def _sdpa(self, qk: jax.Array, v: jax.Array) -> jax.Array:
        of_0, of_1 = (w.astype(self.dtype) for w in sdpa_maps(qk))
        self.sow("intermediates", "attention", jnp.stack([of_0, of_1]))
        # Each branch gathers the values of its partner: the indirection of Fig. 3(b).
        return jnp.stack([of_0 @ v[1], of_1 @ v[0]])
