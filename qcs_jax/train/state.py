"""What training carries from step to step."""

from __future__ import annotations

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from qcs_jax.train.sam import SAM


@flax.struct.dataclass
class TrainState:
    """One ordinary tree of arrays, the same on every device, never stacked.

    Attributes:
      step: int32 scalar, number of steps taken.
      params: Parameters, float32.
      batch_stats: Running averages of batch normalisation, float32.
      opt_state: State of the optimizer.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any

    @classmethod
    def create(cls, variables: dict, optimizer: SAM) -> TrainState:
        """State before the first step, from `{"params", "batch_stats"}`."""
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=variables["params"],
            batch_stats=variables["batch_stats"],
            opt_state=optimizer.init(variables["params"]),
        )

    @property
    def variables(self) -> dict:
        return {"params": self.params, "batch_stats": self.batch_stats}
