"""The networks: a base branch for inference, and the interaction that teaches it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp

from qcs_jax.models import layers
from qcs_jax.models.batch_layout import BatchLayout
from qcs_jax.models.csa import CrossAttention
from qcs_jax.models.ir50 import IR50, PyramidTokens
from qcs_jax.models.resnet29 import ResNet29
from qcs_jax.models.vit import Classified, ViT

Make = Callable[..., nn.Module]

BACKBONES: dict[str, Make] = {"ir50": IR50, "resnet29": ResNet29}


class Outputs(flax.struct.PyTreeNode):
    """What a network says about n branches of b images; a loss may use all of it.

    All is float32. Features are what logits are linear in. Of the baseline, n is 0 in
    what is of the interaction.
    """

    base_logits: jax.Array  # [n, b, k]
    cross_logits: jax.Array  # [n, b, k]
    base_features: jax.Array  # [n, b, C]
    cross_features: jax.Array  # [n, b, C']


class BaseBranch(nn.Module):
    """Backbone, pyramid tokens and ViT: all that inference needs; see `QCS`."""

    subsample: int
    grey: bool
    folded: bool
    backbone: Make  # called with `norm`
    tokens: Make
    vit: Make

    @nn.compact
    def __call__(
        self, images: jax.Array, layout: BatchLayout, *, train: bool, need_tokens: bool
    ) -> Classified:
        """Classifies images `[n * b, s, s, 3]`; the tokens are `[n * b, 3N, C]`."""
        norm = None
        if not self.folded:
            norm = functools.partial(layers.BatchNorm, layout=layout, train=train)
        x = images[:, :: self.subsample, :: self.subsample]
        x = layers.grey(x) if self.grey else x
        pyramid = self.backbone(norm=norm, name="backbone")(x)
        tokens = self.tokens(name="tokens")(pyramid)
        vit = self.vit(name="vit")
        return vit(tokens, layout, train=train, need_tokens=need_tokens)


class CrossBranch(nn.Module):
    """Interaction of the branches at three levels, joined with the base tokens."""

    num_classes: int
    connection: str  # see `QCS`
    attention: Make  # the interaction at one level
    vit: Make  # for the connection of that name

    @nn.compact
    def __call__(
        self, tokens: jax.Array, layout: BatchLayout, *, train: bool
    ) -> Classified:
        """Classifies images by their base tokens `[n * b, 3N, C]`."""
        levels = jnp.split(layout.split(tokens), 3, axis=2)  # each [n, b, N, C]
        interacted = [
            self.attention(name=f"csa{i}")(level, layout)
            for i, level in enumerate(levels, start=1)
        ]
        refined = layout.merge(jnp.concatenate(interacted, axis=2))  # [n * b, 3N, C]
        if self.connection == "vit":
            vit = self.vit(name="vit")
            return vit(tokens + refined, layout, train=train, need_tokens=False)
        if self.connection == "bilinear":
            pooled = bilinear_pool(tokens, refined)
        else:
            joined = refined if self.connection == "none" else tokens + refined
            pooled = jnp.mean(layers.full(joined), axis=1)
        head = layers.dense(
            pooled.shape[-1], self.num_classes, dtype=pooled.dtype, name="head"
        )
        return Classified(head(pooled), pooled, None)


def bilinear_pool(tokens: jax.Array, refined: jax.Array) -> jax.Array:
    """Bilinear pooling of two token sets (Table 1, row 5).

    `X = T^T A / N` of T and A `[m, N, C]`, signed square root, L2 norm 100:
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
    `interact` is what training runs: all branches in one pass. Parameters, statistics
    and logits are float32 whatever the `dtype` of the computation.
    """

    num_classes: int = 7  # width k of the logits
    # n: 1 (baseline), 2 (DCS: anchor, positive) or 4 (QCS: anchor, positive, and two
    # negatives of one other class).
    branches: int = 4
    image_size: int = 224  # side s of the images
    subsample: int = 2  # the backbone sees every `subsample`-th pixel
    # Turn images into grey first: what has learned from grey images alone has no idea
    # of colour, and its answers about colour images would be arbitrary.
    grey: bool = False
    backbone: str = "ir50"  # a name of `BACKBONES`
    widths: Sequence[int] = (64, 128, 256)  # channels of the backbone's stages
    units: Sequence[int] = (3, 4, 14)  # of these stages
    features: int = 768  # width C of the tokens
    depth: int = 2  # blocks of the base ViT; the cross ViT has one
    heads: int = 8  # attention heads of the ViTs
    dropout: float = 0.0  # rate in the base ViT
    cross_dropout: float = 0.0  # rate in the cross ViT
    # Drop after the output projection of attention, too, as published for 8 classes.
    drop_projection: bool = False
    # Deviation of the ViTs' initial linear weights. The published 0.01 is for the
    # published width; a narrow ViT would start so close to constant that it hardly
    # learns.
    init_std: float = 0.01
    interaction: str = "csa"  # how images are compared: of `csa.METRICS`, or "sdpa"
    information: str = "sd"  # or "s", "d": matrices that QCS compares by (Table 2)
    gamma: float = 1.0  # constant part of the weight of D (Eq. 9)
    residual: str = "normalized"  # or "pre_norm"; see `CrossAttention`
    # How base and refined tokens become cross logits: "vit", "gap", "bilinear", or
    # "none": refined tokens alone, averaged (Table 1).
    connection: str = "vit"
    remat: bool = False  # see `IR50`
    dtype: layers.Dtype = jnp.float32
    axis_name: str | None = None  # mapped axis that training splits the examples over
    folded: bool = False  # for inference, without norms in the backbone: see `fold`

    def setup(self):
        def vit(depth: int, dropout: float) -> Make:
            return functools.partial(
                ViT,
                num_classes=self.num_classes,
                depth=depth,
                heads=self.heads,
                dropout=dropout,
                proj_dropout=dropout if self.drop_projection else 0.0,
                init_std=self.init_std,
                dtype=self.dtype,
            )

        self.base = BaseBranch(
            subsample=self.subsample,
            grey=self.grey,
            folded=self.folded,
            backbone=functools.partial(
                BACKBONES[self.backbone],
                widths=self.widths,
                units=self.units,
                remat=self.remat,
                dtype=self.dtype,
            ),
            tokens=functools.partial(
                PyramidTokens,
                features=self.features,
                reduce=self.backbone == "ir50",  # the other's levels are small already
                dtype=self.dtype,
            ),
            vit=vit(self.depth, self.dropout),
        )
        if self.branches > 1:
            self.cross = CrossBranch(
                num_classes=self.num_classes,
                connection=self.connection,
                attention=functools.partial(
                    CrossAttention,
                    interaction=self.interaction,
                    information=self.information,
                    gamma=self.gamma,
                    residual=self.residual,
                    dtype=self.dtype,
                ),
                vit=vit(1, self.cross_dropout),
            )

    def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
        """Base logits of single images `[b, s, s, 3]`, normalised: float32 `[b, k]`.

        Traces nothing of the interaction. `train`: by batch statistics, with dropout.
        """
        return self.embed(images, train)[0]

    def embed(
        self, images: jax.Array, train: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """Base logits, and the features `[b, C]` that they are linear in, float32."""
        layout = BatchLayout(axis_name=self.axis_name)
        base = self.base(images, layout, train=train, need_tokens=False)
        return base.logits, base.features

    def interact(
        self, images: jax.Array, train: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """Base and cross logits of all branches; see `outputs`."""
        outputs = self.outputs(images, train)
        return outputs.base_logits, outputs.cross_logits

    def outputs(self, images: jax.Array, train: bool = False) -> Outputs:
        """Computes what training sees: all branches `[n, b, s, s, 3]` in one pass.

        Raises:
          ValueError: if `images` has another number of branches.
        """
        if len(images) != self.branches:
            raise ValueError(
                f"this network compares {self.branches} branches, but the images "
                f"{images.shape} have {len(images)}: give [{self.branches}, b, h, w, 3]"
            )
        layout = BatchLayout(self.branches, self.axis_name)
        base = self.base(
            layout.merge(images), layout, train=train, need_tokens=self.branches > 1
        )
        logits, features = layout.split(base.logits), layout.split(base.features)
        if base.tokens is None:  # nothing to compare
            return Outputs(logits, logits[:0], features, features[:0])
        cross = self.cross(base.tokens, layout, train=train)
        return Outputs(
            logits, layout.split(cross.logits), features, layout.split(cross.features)
        )
