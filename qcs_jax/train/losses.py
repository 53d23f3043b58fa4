"""The joint training loss, Eq. 10, with its optional distillation term."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import optax


@dataclasses.dataclass(frozen=True)
class JointLoss:
    """Mean cross entropy of all classifiers, plus distillation from cross to base.

    Attributes:
      alpha: Weight of the cross classifiers' terms; the paper sets 1.
      distillation: "none", "kl" (Table 1, row 7) or "mse" (Fig. 7c). The cross logits
        are the teacher and receive no gradient from this term.
      distillation_weight: Factor of the distillation term.
      temperature: Divides both logits before "kl", which is scaled by its square.
    """

    alpha: float = 1.0
    distillation: str = "none"
    distillation_weight: float = 1.0
    temperature: float = 1.0

    def __call__(
        self, base_logits: jax.Array, cross_logits: jax.Array, labels: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Evaluates the loss on the examples of one device.

        Args:
          base_logits: float32 `[n, b, k]`.
          cross_logits: float32 `[n, b, k]`, or `[0, b, k]` without interaction.
          labels: int32 `[n, b]`.

        Returns:
          The scalar loss, and its terms: "base" `[n]`, "cross" `[n or 0]`: the mean
          cross entropy of each branch; "distillation", scalar, only where it is used.
        """
        base = _cross_entropy(base_logits, labels)
        cross = _cross_entropy(cross_logits, labels[: len(cross_logits)])
        total = jnp.sum(base) + self.alpha * jnp.sum(cross)
        loss = total / (len(base) + len(cross))
        terms = {"base": base, "cross": cross}
        if self.distillation != "none" and len(cross):
            terms["distillation"] = self._distill(base_logits, cross_logits)
            loss = loss + self.distillation_weight * terms["distillation"]
        return loss, terms

    def _distill(self, student: jax.Array, teacher: jax.Array) -> jax.Array:
        teacher = jax.lax.stop_gradient(teacher)
        if self.distillation == "mse":
            return jnp.mean((student - teacher) ** 2)
        t = self.temperature
        log_p = jax.nn.log_softmax(teacher / t)
        divergence = jnp.exp(log_p) * (log_p - jax.nn.log_softmax(student / t))
        return t**2 * jnp.mean(jnp.sum(divergence, axis=-1))


def _cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """`[n, b, k]`, `[n, b]` -> mean over b, `[n]`."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.mean(losses, axis=1)
