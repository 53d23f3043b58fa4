"""The train step and the evaluation step: the only code that knows about devices.

Each is written for one device with a named axis and mapped over all of them by pmap.
The state goes in and comes out as one replicated tree (`None` axes); the batch is split
along its leading axis. Everything that must be equal on all devices is reduced over the
axis inside, so the same global batch gives the same result on 1, 2, 4 or 8 devices.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from qcs_jax.images import augment
from qcs_jax.models.batch_layout import BatchLayout
from qcs_jax.train.losses import JointLoss
from qcs_jax.train.sam import SAM
from qcs_jax.train.state import TrainState

AXIS = "data"


def replicate(tree: Any) -> Any:
    """Copies a tree to all devices, laid out as the steps return it.

    A state that enters its first step in any other layout makes XLA compile twice.
    """
    if jax.process_count() > 1:  # pmap itself places what each host holds
        return tree
    mesh = jax.sharding.Mesh(jax.local_devices(), (AXIS,))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return jax.device_put(tree, everywhere)


def make_train_step(
    model: nn.Module,
    optimizer: SAM,
    *,
    loss: JointLoss,
    augment_fn: Callable[[jax.Array, jax.Array], jax.Array],
    seed: int,
    local_climb: bool = False,
    devices: Sequence[jax.Device] | None = None,
) -> Callable[[TrainState, dict], tuple[TrainState, dict]]:
    """Builds the pmapped training step. It donates the state.

    Args:
      model: Network; its `axis_name` is set here.
      optimizer: SAM around an optax optimizer.
      loss: Of all logits.
      augment_fn: `(keys [m], images [m, h, w, 3]) -> [m, s, s, 3]`, normalised; its
        result serves both passes of SAM.
      seed: Of augmentation and dropout, together with the step number.
      local_climb: m-SAM; see `SAM.step`.
      devices: To map over; default all.

    Returns:
      `(state, batch) -> (state, reports)`. The batch is `{"image": uint8
      [devices, n, b, h, w, 3], "label": int32 [devices, n, b]}`; the reports are those
      of `SAM.step`, each with "loss", its terms, and "accuracy" `[n]` of the base
      branch.
    """
    model = model.clone(axis_name=AXIS)

    def train_step(state: TrainState, batch: dict) -> tuple[TrainState, dict]:
        # Threefry draws the same per example, however the examples are batched.
        root = jax.random.key(seed, impl="threefry2x32")
        key = jax.random.fold_in(root, state.step)
        augment_key, dropout_key = jax.random.split(key)
        layout = BatchLayout(model.branches, AXIS)
        images = layout.merge(batch["image"])
        keys = layout.example_keys(augment_key, len(images))
        images = layout.split(augment_fn(keys, images))

        def grad_fn(params, carry):
            batch_stats, number = carry
            (_, (batch_stats, report)), grads = jax.value_and_grad(
                objective, has_aux=True
            )(params, batch_stats, jax.random.fold_in(dropout_key, number))
            return grads, (batch_stats, number + 1), report

        def objective(params, batch_stats, key):
            (base, cross), new = model.apply(
                {"params": params, "batch_stats": batch_stats},
                images,
                train=True,
                method="interact",
                rngs={"dropout": key},
                mutable=["batch_stats"],
            )
            value, terms = loss(base, cross, batch["label"])
            hits = jnp.argmax(base, axis=-1) == batch["label"]
            accuracy = jnp.mean(hits.astype(jnp.float32), axis=1)
            report = {"loss": value, "accuracy": accuracy, **terms}
            return value, (new["batch_stats"], lax.pmean(report, AXIS))

        params, opt_state, (batch_stats, _), reports = optimizer.step(
            grad_fn,
            state.params,
            state.opt_state,
            (state.batch_stats, jnp.int32(0)),
            reduce=functools.partial(lax.pmean, axis_name=AXIS),
            local_climb=local_climb,
        )
        state = TrainState(state.step + 1, params, batch_stats, opt_state)
        return state, reports

    return jax.pmap(
        train_step,
        AXIS,
        in_axes=(None, 0),
        out_axes=None,
        donate_argnums=0,
        devices=devices,
    )


def make_eval_step(
    model: nn.Module, *, mirrored: bool = False
) -> Callable[[dict, jax.Array], jax.Array]:
    """Builds the pmapped evaluation step: base branch, centre crop.

    Args:
      model: Network.
      mirrored: Flip the images left to right.

    Returns:
      `(variables, images) -> logits`: uint8 `[devices, b, h, w, 3]` to float32
      `[devices, b, k]`.
    """

    def eval_step(variables: dict, images: jax.Array) -> jax.Array:
        images = augment.preprocess(images, model.image_size)
        return model.apply(variables, images[:, :, ::-1] if mirrored else images)

    return jax.pmap(eval_step, AXIS, in_axes=(None, 0), out_axes=0)
