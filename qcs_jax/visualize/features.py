"""Logits and embeddings of the base branch, many images at a time."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import jax
import numpy as np

from qcs_jax import models
from qcs_jax.predict.classifier import logits_and_features


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
        self._forward = jax.jit(functools.partial(logits_and_features, model))

    def of(self, batches: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Classifies images and keeps what the classification is made from.

        Args:
          batches: uint8 pixels `[m, h, w, 3]`, h and w at least `model.image_size`; the
            first is the largest.

        Returns:
          float32 logits `[M, k]` and embeddings `[M, C]`, the gated class token.
        """
        results, rows = [], 0
        for batch in batches:
            rows = rows or len(batch)
            # Filled up, the last batch needs no compilation of its own.
            filled = batch[np.minimum(np.arange(rows), len(batch) - 1)]
            found = jax.device_get(self._forward(self.variables, filled))
            results.append([np.asarray(x[: len(batch)], np.float32) for x in found])
        logits, embeddings = map(np.concatenate, zip(*results, strict=True))
        return logits, embeddings
