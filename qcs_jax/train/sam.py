"""Sharpness-aware minimisation around any optax optimizer (Foret et al., 2020)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

Tree = Any
# (params, carry) -> (gradient, new carry, report); see `SAM.step`.
GradFn = Callable[[Tree, Tree], tuple[Tree, Tree, Tree]]


def climb(params: Tree, grads: Tree, rho: float) -> Tree:
    """The worst nearby weights, to first order: `w + rho g / (||g||_2 + 1e-12)`."""
    scale = rho / (optax.tree.norm(grads) + 1e-12)
    return jax.tree.map(lambda w, g: w + scale.astype(w.dtype) * g, params, grads)


@dataclasses.dataclass(frozen=True)
class SAM:
    """An optimizer that follows the gradient found at the worst nearby weights.

    Attributes:
      optimizer: Any optax optimizer; it sees the second gradient and the unmoved
        weights.
      rho: Radius of the neighbourhood, in the L2 norm over all parameters. With 0 this
        is the plain optimizer and costs one pass instead of two.
    """

    optimizer: optax.GradientTransformation
    rho: float = 0.05

    def init(self, params: Tree) -> Tree:
        return self.optimizer.init(params)

    def step(
        self,
        grad_fn: GradFn,
        params: Tree,
        opt_state: Tree,
        carry: Tree,
        *,
        reduce: Callable[[Tree], Tree] = lambda grads: grads,
        local_climb: bool = False,
    ) -> tuple[Tree, Tree, Tree, dict[str, Tree]]:
        """Takes one step.

        Args:
          grad_fn: `(params, carry) -> (gradient, carry, report)`, called once or twice
            on the same batch; the carry (batch statistics) passes through both calls.
          params: Parameters w.
          opt_state: State of `optimizer`.
          carry: First carry.
          reduce: Averages gradients over devices.
          local_climb: Climb along each device's own gradient (m-SAM) instead of the
            averaged one.

        Returns:
          New parameters, optimizer state and carry, and a report: "pass1" and "pass2"
          (missing with `rho` 0), each what `grad_fn` reported with "grad_norm" added.
        """
        local, carry, report = grad_fn(params, carry)
        grads = reduce(local)
        reports = {"pass1": {**report, "grad_norm": optax.tree.norm(grads)}}
        if self.rho > 0:
            uphill = climb(params, local if local_climb else grads, self.rho)
            grads, carry, report = grad_fn(uphill, carry)
            grads = reduce(grads)
            reports["pass2"] = {**report, "grad_norm": optax.tree.norm(grads)}
        with jax.numpy_dtype_promotion("standard"):  # optax mixes int and float
            updates, opt_state = self.optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, carry, reports


def adam_with_epoch_decay(
    learning_rate: float, decay: float, steps_per_epoch: int
) -> optax.GradientTransformation:
    """Adam (0.9, 0.999, 1e-8) with rate `learning_rate * decay ** epoch`."""

    def schedule(step: jax.Array) -> jax.Array:
        epoch = step // steps_per_epoch
        return learning_rate * decay ** epoch.astype(jnp.float32)

    return optax.adam(schedule)
