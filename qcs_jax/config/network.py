"""From a configuration to the objects that it describes."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import ml_collections

from qcs_jax import models
from qcs_jax.images import augment
from qcs_jax.train import sam
from qcs_jax.train.losses import JointLoss


def create_model(config: ml_collections.ConfigDict, num_classes: int) -> models.QCS:
    """The network of `config.model`."""
    options = config.model.to_dict()
    name, size = options.pop("name"), options.pop("size")
    dtype = jnp.dtype(config.dtype)
    return models.create(name, size, num_classes=num_classes, dtype=dtype, **options)


def create_optimizer(
    config: ml_collections.ConfigDict, steps_per_epoch: int
) -> sam.SAM:
    """SAM around Adam with per-epoch decay."""
    o = config.optimizer
    adam = sam.adam_with_epoch_decay(o.learning_rate, o.decay, steps_per_epoch)
    return sam.SAM(adam, o.rho)


def create_loss(config: ml_collections.ConfigDict) -> JointLoss:
    """The joint loss of `config.loss`."""
    return JointLoss(**config.loss.to_dict())


def create_augmentation(
    config: ml_collections.ConfigDict, image_size: int
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """`(keys, uint8 images) -> normalised crops of image_size`, as `config.augment`."""
    drawn = augment.Augmentation(size=image_size, **config.augment.to_dict())
    return functools.partial(augment.augment, recipe=drawn)
