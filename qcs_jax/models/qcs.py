"""The networks: a base branch for inference, and the interaction that teaches it."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from qcs_jax.models import layers
from qcs_jax.models.batch_layout import BatchLayout
from qcs_jax.models.csa import CrossAttention
from qcs_jax.models.ir50 import IR50, PyramidTokens
from qcs_jax.models.vit import ViT


class BaseBranch(nn.Module):
    """Backbone, pyramid tokens and ViT: all that inference needs.

    Attributes: see `QCS`.
    """

    num_classes: int
    subsample: int
    widths: Sequence[int]
    units: Sequence[int]
    features: int
    depth: int
    heads: int
    dropout: float
    proj_dropout: float
    init_std: float
    dtype: layers.Dtype

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        layout: BatchLayout,
        *,
        train: bool,
        need_features: bool,
    ) -> tuple[jax.Array, jax.Array | None]:
        """`[n * b, s, s, 3]` -> logits `[n * b, k]` and tokens `[n * b, 3N, C]`."""
        norm = functools.partial(layers.BatchNorm, layout=layout, train=train)
        x = images[:, :: self.subsample, :: self.subsample]
        pyramid = IR50(norm, self.widths, self.units, self.dtype, name="backbone")(x)
        tokens = PyramidTokens(self.features, self.dtype, name="tokens")(pyramid)
        vit = ViT(
            self.num_classes,
            self.depth,
            self.heads,
            self.dropout,
            self.proj_dropout,
            self.init_std,
            self.dtype,
            name="vit",
        )
        return vit(tokens, layout, train=train, need_features=need_features)


class CrossBranch(nn.Module):
    """Interaction of the branches at three levels, joined with the base tokens.

    Attributes: see `QCS`.
    """

    num_classes: int
    heads: int
    dropout: float
    proj_dropout: float
    init_std: float
    interaction: str
    information: str
    gamma: float
    residual: str
    connection: str
    dtype: layers.Dtype

    @nn.compact
    def __call__(
        self, tokens: jax.Array, layout: BatchLayout, *, train: bool
    ) -> jax.Array:
        """Base tokens `[n * b, 3N, C]` -> cross logits `[n * b, k]`."""
        levels = jnp.split(layout.split(tokens), 3, axis=2)  # each [n, b, N, C]
        refined = []
        for i, level in enumerate(levels, start=1):
            csa = CrossAttention(
                self.interaction,
                self.information,
                self.gamma,
                self.residual,
                self.dtype,
                name=f"csa{i}",
            )
            refined.append(csa(level, layout))
        refined = layout.merge(jnp.concatenate(refined, axis=2))  # [n * b, 3N, C]
        if self.connection == "vit":
            return self._vit(tokens + refined, layout, train)
        if self.connection == "bilinear":
            pooled = bilinear_pool(tokens, refined)
        else:
            joined = refined if self.connection == "none" else tokens + refined
            pooled = jnp.mean(layers.full(joined), axis=1)
        head = layers.dense(
            pooled.shape[-1], self.num_classes, dtype=pooled.dtype, name="head"
        )
        return head(pooled)

    def _vit(self, tokens: jax.Array, layout: BatchLayout, train: bool) -> jax.Array:
        vit = ViT(
            self.num_classes,
            1,
            self.heads,
            self.dropout,
            self.proj_dropout,
            self.init_std,
            self.dtype,
            name="vit",
        )
        return vit(tokens, layout, train=train, need_features=False)[0]


def bilinear_pool(tokens: jax.Array, refined: jax.Array) -> jax.Array:
    """Bilinear pooling of two token sets (Table 1, row 5).

    `X = T^T A / N`, signed square root, L2 norm 100.

    Args:
      tokens: T, `[m, N, C]`.
      refined: A, `[m, N, C]`.

    Returns:
      `[m, C * C]` in at least float32.
    """
    tokens, refined = layers.full(tokens), layers.full(refined)
    x = jnp.einsum("mnc,mnd->mcd", tokens, refined) / tokens.shape[1]
    x = (jnp.sign(x) * jnp.sqrt(jnp.abs(x) + 1e-5)).reshape(len(x), -1)
    norm2 = jnp.sum(x * x, axis=-1, keepdims=True)
    return 100 * x * jax.lax.rsqrt(jnp.maximum(norm2, 1e-24))


class QCS(nn.Module):
    """Quadruplet Cross Similarity network; with 2 branches DCS, with 1 the baseline.

    Calling it is the base branch, `[b, s, s, 3]` normalised images -> `[b, k]` logits.
    `interact` is what training runs: all branches in one pass.

    Attributes:
      num_classes: Width k of the logits.
      branches: n: 1 (baseline), 2 (DCS: anchor, positive) or 4 (QCS: anchor, positive,
        and two negatives of one other class).
      image_size: Side s of the images.
      subsample: The backbone sees every `subsample`-th pixel.
      widths: Channels of the backbone's stages.
      units: Units of the backbone's stages.
      features: Width C of the tokens.
      depth: Blocks of the base ViT; the cross ViT has one.
      heads: Attention heads of the ViTs.
      dropout: Rate in the base ViT.
      cross_dropout: Rate in the cross ViT.
      drop_projection: Whether ViTs also drop after the attention's output projection,
        as the published 8-class models do.
      init_std: Deviation of the ViTs' initial linear weights. The published 0.01 is
        for the published width; a narrow ViT would start so close to constant that
        it hardly learns.
      interaction: "csa" or "sdpa" (Table 1).
      information: "sd", "s" or "d": matrices that QCS compares by (Table 2).
      gamma: Constant part of the weight of D (Eq. 9).
      residual: "normalized" or "pre_norm"; see `CrossAttention`.
      connection: How base and refined tokens become cross logits: "vit", "gap",
        "bilinear", or "none": refined tokens alone, averaged (Table 1).
      dtype: Compute precision; parameters, statistics and logits are float32.
      axis_name: Mapped axis that training splits the examples over, or None.
    """

    num_classes: int = 7
    branches: int = 4
    image_size: int = 224
    subsample: int = 2
    widths: Sequence[int] = (64, 128, 256)
    units: Sequence[int] = (3, 4, 14)
    features: int = 768
    depth: int = 2
    heads: int = 8
    dropout: float = 0.0
    cross_dropout: float = 0.0
    drop_projection: bool = False
    init_std: float = 0.01
    interaction: str = "csa"
    information: str = "sd"
    gamma: float = 1.0
    residual: str = "normalized"
    connection: str = "vit"
    dtype: layers.Dtype = jnp.float32
    axis_name: str | None = None

    def setup(self):
        def vit_options(rate: float) -> dict:
            projection = rate if self.drop_projection else 0.0
            return dict(heads=self.heads, dropout=rate, proj_dropout=projection)

        common = dict(
            num_classes=self.num_classes, init_std=self.init_std, dtype=self.dtype
        )
        self.base = BaseBranch(
            subsample=self.subsample,
            widths=self.widths,
            units=self.units,
            features=self.features,
            depth=self.depth,
            **vit_options(self.dropout),
            **common,
        )
        if self.branches > 1:
            self.cross = CrossBranch(
                interaction=self.interaction,
                information=self.information,
                gamma=self.gamma,
                residual=self.residual,
                connection=self.connection,
                **vit_options(self.cross_dropout),
                **common,
            )

    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Base logits of single images; traces nothing of the interaction.

        Args:
          images: `[b, s, s, 3]`, normalised.
          train: Use batch statistics and dropout.

        Returns:
          float32 `[b, k]`.
        """
        layout = BatchLayout(axis_name=self.axis_name)
        return self.base(images, layout, train=train, need_features=False)[0]

    def interact(
        self, images: jax.Array, train: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """Logits of all branches.

        Args:
          images: `[n, b, s, s, 3]`, normalised; n must be `branches`.
          train: Use batch statistics and dropout.

        Returns:
          float32 base logits `[n, b, k]` and cross logits `[n, b, k]`; the baseline,
          which has no interaction, gives `[0, b, k]` for the latter.

        Raises:
          ValueError: if `images` has another number of branches.
        """
        if len(images) != self.branches:
            raise ValueError(
                f"this network compares {self.branches} branches, but the images "
                f"{images.shape} have {len(images)}: give [{self.branches}, b, h, w, 3]"
            )
        layout = BatchLayout(self.branches, self.axis_name)
        interacting = self.branches > 1
        logits, tokens = self.base(
            layout.merge(images), layout, train=train, need_features=interacting
        )
        logits = layout.split(logits)
        if not interacting:
            return logits, logits[:0]
        return logits, layout.split(self.cross(tokens, layout, train=train))
