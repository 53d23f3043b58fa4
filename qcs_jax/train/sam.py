"""Sharpness-aware minimisation around any optax optimizer (Foret et al., 2020)."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import optax

Tree = Any


@dataclasses.dataclass(frozen=True)
class SAM:
    """An optimizer that follows the gradient found at the worst nearby weights.

    A step is a gradient at the weights, `climb`, a gradient there, and `update`; see
    `step.TrainStep`.

    Attributes:
      optimizer: Any optax optimizer of learning rate 1; it sees the second gradient
        and the unmoved weights.
      rho: Radius of the neighbourhood, in the L2 norm over all parameters. With 0 this
        is the plain optimizer and costs one pass instead of two.
    """

    optimizer: optax.GradientTransformation
    rho: float = 0.05

    def init(self, params: Tree) -> Tree:
        return self.optimizer.init(params)

    def climb(self, params: Tree, grads: Tree) -> Tree:
        """The worst nearby weights, to first order: `w + rho g / (||g||_2 + 1e-12)`."""
        scale = self.rho / (optax.tree.norm(grads) + 1e-12)
        return jax.tree.map(lambda w, g: w + scale.astype(w.dtype) * g, params, grads)

    def update(
        self, params: Tree, opt_state: Tree, grads: Tree, learning_rate: Any
    ) -> tuple[Tree, Tree]:
        """New parameters and optimizer state, by the gradient of the last pass."""
        with jax.numpy_dtype_promotion("standard"):  # optax mixes int and float
            updates, opt_state = self.optimizer.update(grads, opt_state, params)
        updates = jax.tree.map(lambda u: learning_rate * u, updates)
        return optax.apply_updates(params, updates), opt_state


def adam() -> optax.GradientTransformation:
    """Adam as the paper sets it (0.9, 0.999, 1e-8), of learning rate 1."""
    return optax.adam(1.0)
