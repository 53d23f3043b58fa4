"""The small vision transformer that classifies pyramid tokens."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from qcs_jax.models import layers
from qcs_jax.models.batch_layout import BatchLayout

# Truncated at +-2, which at these deviations cuts nothing: plain normals.
TOKEN_INIT = nn.initializers.normal(0.02)


class Attention(nn.Module):
    """Multi-head self-attention with one matrix for query, key and value.

    With `first_only`, the first token alone queries, and the result has one token.
    """

    heads: int
    first_only: bool
    init_std: float
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[m, t, c]` -> `[m, t or 1, c]`."""
        m, t, c = x.shape
        qkv = _Linear(3 * c, self.init_std, self.dtype, name="qkv")
        q = qkv(x[:, :1] if self.first_only else x, slice(0, c))
        k, v = jnp.split(qkv(x, slice(c, 3 * c)), 2, axis=-1)
        q, k, v = (h.reshape(m, -1, self.heads, c // self.heads) for h in (q, k, v))
        scores = jnp.einsum("mqhd,mkhd->mhqk", q, k) * (c // self.heads) ** -0.5
        weights = nn.softmax(layers.full(scores)).astype(self.dtype)
        self.sow("intermediates", "attention", weights)  # [m, heads, t or 1, t]
        y = jnp.einsum("mhqk,mkhd->mqhd", weights, v).reshape(m, -1, c)
        init = nn.initializers.normal(self.init_std)
        return layers.dense(c, c, kernel_init=init, dtype=self.dtype, name="out")(y)


class _Linear(nn.Module):
    """A linear layer; a call asks for some of its output columns."""

    features: int
    init_std: float
    dtype: layers.Dtype

    @nn.compact
    def __call__(self, x: jax.Array, columns: slice) -> jax.Array:
        width = x.shape[-1]
        init = nn.initializers.normal(self.init_std)
        kernel = self.param("kernel", init, (width, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        kernel, bias = kernel[:, columns], bias[columns]
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return jnp.dot(x, kernel) + jax.lax.expand_dims(bias, (0, 1))


class Block(nn.Module):
    """Pre-norm transformer block."""

    heads: int
    first_only: bool  # compute the first (class) token only; the others are unread
    drop: Callable[[float], nn.Module]  # makes a dropout layer of a rate
    dropout: float  # after both layers of the MLP
    proj_dropout: float  # after the output projection of the attention
    init_std: float
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[m, t, c]` -> `[m, t or 1, c]`."""
        norm = functools.partial(layers.layer_norm, 1e-6, self.dtype)
        attention = Attention(
            heads=self.heads,
            first_only=self.first_only,
            init_std=self.init_std,
            dtype=self.dtype,
            name="attention",
        )
        h = attention(norm(name="norm1")(x))
        if self.first_only:
            x = x[:, :1]
        x = x + self.drop(self.proj_dropout)(h)
        mlp = layers.Mlp(
            dropout=self.drop(self.dropout),
            kernel_init=nn.initializers.normal(self.init_std),
            dtype=self.dtype,
            name="mlp",
        )
        return x + mlp(norm(name="norm2")(x))


class Classified(NamedTuple):
    """What a ViT makes of m images."""

    logits: jax.Array  # float32 [m, k]
    features: jax.Array  # float32 [m, C]: the gated class token, input of the head
    tokens: jax.Array | None  # normalised [m, t, C]; None where nobody reads them


class ViT(nn.Module):
    """Class token, positions, blocks, gated class token, linear head."""

    num_classes: int
    depth: int  # blocks
    heads: int = 8  # of attention, in each
    dropout: float = 0.0  # on the embedded sequence and inside the MLPs
    proj_dropout: float = 0.0  # after each attention's output projection
    init_std: float = 0.01  # of the initial weights of linear layers
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, tokens: jax.Array, layout: BatchLayout, *, train: bool, need_tokens: bool
    ) -> Classified:
        """Classifies tokens `[m, t, c]`; `layout`, of the rows, seeds dropout.

        Without `need_tokens` the last block computes its class token only: the same
        logits for less work.
        """
        m, t, c = tokens.shape
        class_token = self.param("class_token", TOKEN_INIT, (1, 1, c))
        positions = self.param("positions", TOKEN_INIT, (1, t + 1, c))
        first = jnp.broadcast_to(class_token.astype(self.dtype), (m, 1, c))
        x = jnp.concatenate([first, tokens.astype(self.dtype)], axis=1)
        x = x + positions.astype(self.dtype)

        drop = functools.partial(layers.Dropout, layout=layout, train=train)
        x = drop(self.dropout)(x)
        for i in range(self.depth):
            x = Block(
                heads=self.heads,
                first_only=not need_tokens and i == self.depth - 1,
                drop=drop,
                dropout=self.dropout,
                proj_dropout=self.proj_dropout,
                init_std=self.init_std,
                dtype=self.dtype,
                name=f"block{i}",
            )(x)
        x = layers.layer_norm(1e-6, self.dtype, name="norm")(x)
        # The gated token is `c * sigmoid(W2 relu(W1 c))`; logits are float32 whatever
        # the compute precision.
        token = x[:, 0]
        init = nn.initializers.normal(self.init_std)
        linear = functools.partial(layers.dense, c, kernel_init=init)
        h = nn.relu(linear(c, dtype=self.dtype, name="gate1")(token))
        token = token * nn.sigmoid(linear(c, dtype=self.dtype, name="gate2")(h))
        token = layers.full(token)
        logits = linear(self.num_classes, dtype=token.dtype, name="head")(token)
        return Classified(logits, token, x[:, 1:] if need_tokens else None)
