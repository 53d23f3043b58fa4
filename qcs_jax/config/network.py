"""From a configuration to the network that it describes."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from qcs_jax import models
from qcs_jax.models.qcs import QCS


def create_model(config: Any, num_classes: int) -> QCS:
    """Makes the network of `config.model`.

    Args:
      config: A configuration, see `base_config`.
      num_classes: Width of the logits.
    """
    options = config.model.to_dict()
    name, size = options.pop("name"), options.pop("size")
    dtype = jnp.dtype(config.dtype)
    return models.create(name, size, num_classes=num_classes, dtype=dtype, **options)
