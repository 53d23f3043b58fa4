"""The joint training loss, Eq. 10, with its optional distillation term."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from qcs_jax.models.qcs import Outputs


def kl_divergence(outputs: Outputs, temperature: float) -> jax.Array:
    """Divergence of the base from the cross probabilities (Table 1, row 7).

    Both logits are divided by the temperature; its square keeps the scale of gradients.
    """
    log_p = jax.nn.log_softmax(outputs.cross_logits / temperature)
    log_q = jax.nn.log_softmax(outputs.base_logits / temperature)
    divergence = optax.losses.kl_divergence_with_log_targets(log_q, log_p)
    return temperature**2 * jnp.mean(divergence)


def squared_error(outputs: Outputs, temperature: float) -> jax.Array:
    """Mean squared difference of base and cross logits (Fig. 7c)."""
    del temperature
    return jnp.mean((outputs.base_logits - outputs.cross_logits) ** 2)


# What the base branch learns from the cross branch, by the name in `loss.distillation`:
# (outputs, temperature) -> scalar. The outputs of the cross branch get no gradient.
DISTILLATION: dict[str, Callable[[Outputs, float], jax.Array]] = {
    "kl": kl_divergence,
    "mse": squared_error,
}


@dataclasses.dataclass(frozen=True)
class JointLoss:
    """Mean cross entropy of all classifiers, plus distillation from cross to base.

    Attributes:
      alpha: Weight of the cross classifiers' terms; the paper sets 1.
      distillation: "none" or a name of `DISTILLATION`.
      distillation_weight: Factor of the distillation term.
      temperature: Temperature of "kl".
      label_smoothing: Probability that cross entropies spread evenly over all classes
        (Szegedy et al., 2016).
    """

    alpha: float = 1.0
    distillation: str = "none"
    distillation_weight: float = 1.0
    temperature: float = 1.0
    label_smoothing: float = 0.0

    def __call__(
        self, outputs: Outputs, labels: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Evaluates the loss on the examples of one device.

        Args:
          outputs: Logits and features of n branches of b examples.
          labels: int32 `[n, b]`.

        Returns:
          The scalar loss, and its terms: "base" `[n]`, "cross" `[n or 0]`: the mean
          cross entropy of each branch; "distillation", scalar, only where it is used.
        """
        base = self._cross_entropy(outputs.base_logits, labels)
        cross = self._cross_entropy(
            outputs.cross_logits, labels[: len(outputs.cross_logits)]
        )
        total = jnp.sum(base) + self.alpha * jnp.sum(cross)
        loss = total / (len(base) + len(cross))
        terms = {"base": base, "cross": cross}
        if self.distillation != "none" and len(cross):
            taught = outputs.replace(
                cross_logits=jax.lax.stop_gradient(outputs.cross_logits),
                cross_features=jax.lax.stop_gradient(outputs.cross_features),
            )
            distill = DISTILLATION[self.distillation]
            terms["distillation"] = distill(taught, self.temperature)
            loss = loss + self.distillation_weight * terms["distillation"]
        return loss, terms

    def _cross_entropy(self, logits: jax.Array, labels: jax.Array) -> jax.Array:
        """`[n, b, k]`, `[n, b]` -> mean over b, `[n]`."""
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        if self.label_smoothing:
            even = -jnp.mean(jax.nn.log_softmax(logits), axis=-1)
            losses = (1 - self.label_smoothing) * losses + self.label_smoothing * even
        return jnp.mean(losses, axis=1)
