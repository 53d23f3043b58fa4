"""Logits and embeddings of the base branch, many images at a time."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import jax
import numpy as np

from qcs_jax import augment, models


class Features:
    """The base branch alone: what inference computes, and the vector before the head.

    Attributes:
      model: The network.
      variables: Its base branch, on the device.
    """

    def __init__(self, model: models.QCS, variables: dict):
        """Puts a base branch on the default device.

        Args:
          model: As `models.create` gives it.
          variables: `{"params": {"base": ...}, "batch_stats": {"base": ...}}`; a cross
            branch beside them is not used.
        """
        self.model = model
        self.variables = jax.device_put(
            {name: {"base": tree["base"]} for name, tree in variables.items()}
        )
        self._forward = jax.jit(functools.partial(_forward, model))

    def of(self, batches: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Classifies images and keeps what the classification is made from.

        Args:
          batches: uint8 pixels `[m, h, w, 3]`, h and w at least `model.image_size`; all
            but the last should have the same m, each m is compiled for.

        Returns:
          float32 logits `[M, k]` and embeddings `[M, C]`, the gated class token.
        """
        results = [jax.device_get(self._forward(self.variables, b)) for b in batches]
        logits, embeddings = zip(*results, strict=True)
        as_float = functools.partial(np.asarray, dtype=np.float32)
        return np.concatenate(logits), np.concatenate(list(map(as_float, embeddings)))


def _forward(
    model: models.QCS, variables: dict, pixels: jax.Array
) -> tuple[jax.Array, jax.Array]:
    images = augment.preprocess(pixels, model.image_size)
    logits, state = model.apply(variables, images, mutable=["intermediates"])
    return logits, state["intermediates"]["base"]["vit"]["embedding"][0]
