"""How the images of one step are laid out over branches and devices.

The four branches of a quadruplet pass through the backbone as one batch, and the
batch is split over devices. Whatever depends on "the whole batch" (batch statistics,
the extremes of Eq. 7) or on "this very example" (augmentation, dropout) must give the
same numbers on any number of devices. `BatchLayout` is the one place that knows how.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


@dataclasses.dataclass(frozen=True)
class BatchLayout:
    """A batch of `branches * b` images on each device of `axis_name`.

    Attributes:
      branches: Number of branches n; rows of a batch are branch-major, `[n * b, ...]`.
      axis_name: Mapped axis that the examples are split over, or None on one device.
    """

    branches: int = 1
    axis_name: str | None = None

    def split(self, x: jax.Array) -> jax.Array:
        """`[n * b, ...]` -> `[n, b, ...]`."""
        return x.reshape(self.branches, -1, *x.shape[1:])

    def merge(self, x: jax.Array) -> jax.Array:
        """`[n, b, ...]` -> `[n * b, ...]`."""
        return x.reshape(-1, *x.shape[2:])

    def device_count(self) -> int:
        return lax.axis_size(self.axis_name) if self.axis_name else 1

    def mean(self, x: jax.Array) -> jax.Array:
        """Mean over devices, differentiable."""
        return lax.pmean(x, self.axis_name) if self.axis_name else x

    def minimum(self, x: jax.Array) -> jax.Array:
        """Smallest element of each global `x[i]`: `[p, ...]` -> `[p]`, differentiable.

        (`lax.pmin` has no gradient; gathering the local extremes has.)
        """
        return jnp.min(self._gather(jnp.min(x, axis=range(1, x.ndim))), axis=0)

    def maximum(self, x: jax.Array) -> jax.Array:
        """Largest element of each global `x[i]`: `[p, ...]` -> `[p]`."""
        return jnp.max(self._gather(jnp.max(x, axis=range(1, x.ndim))), axis=0)

    def _gather(self, x: jax.Array) -> jax.Array:
        return lax.all_gather(x, self.axis_name) if self.axis_name else x[None]

    def example_ids(self, rows: int) -> jax.Array:
        """Number of each row in the global batch, the same on any number of devices.

        Args:
          rows: Rows on this device, n * b.

        Returns:
          int32 `[n * b]`: branch * global batch size + position in the global batch.
        """
        b = rows // self.branches
        device = lax.axis_index(self.axis_name) if self.axis_name else 0
        branch = jnp.arange(self.branches, dtype=jnp.int32)[:, None]
        position = device * b + jnp.arange(b, dtype=jnp.int32)[None, :]
        return (branch * (b * self.device_count()) + position).reshape(-1)

    def example_keys(self, key: jax.Array, rows: int) -> jax.Array:
        """One random key per row, `[n * b]`, folded from `key` and the row's number."""
        return jax.vmap(jax.random.fold_in, (None, 0))(key, self.example_ids(rows))


def fill_up(images: np.ndarray, branches: int = 1) -> np.ndarray:
    """Repeats the last image until every branch has the same power of two of them.

    A program is compiled for each size, so there should be few.
    """
    each = 1 << (-(-len(images) // branches) - 1).bit_length()
    return images[np.minimum(np.arange(branches * each), len(images) - 1)]
