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
import flax.struct
import jax
import jax.numpy as jnp
from jax import lax

from qcs_jax.images import augment
from qcs_jax.models.batch_layout import BatchLayout
from qcs_jax.train.losses import JointLoss
from qcs_jax.train.sam import SAM

AXIS = "data"


class TrainState(flax.struct.PyTreeNode):
    """What training carries from step to step: the same on every device, not stacked.

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
        """Returns the state before the first step, with these variables."""
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=variables["params"],
            batch_stats=variables["batch_stats"],
            opt_state=optimizer.init(variables["params"]),
        )

    @property
    def variables(self) -> dict:
        return {"params": self.params, "batch_stats": self.batch_stats}


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
      loss: Loss of what the network says.
      augment_fn: `(keys [m], images [m, h, w, 3]) -> [m, s, s, 3]`, normalised; its
        result serves both passes of SAM.
      seed: Seed of augmentation and dropout, together with the step number.
      local_climb: m-SAM; see `SAM.step`.
      devices: To map over; default all.

    Returns:
      `(state, batch) -> (state, reports)`. The batch is `{"image": uint8
      [devices, n, b, h, w, 3], "label": int32 [devices, n, b]}`; the reports are those
      of `SAM.step`, each with "loss", its terms, and "accuracy" `[n]` of the base
      branch.
    """
    model = model.clone(axis_name=AXIS)
    layout = BatchLayout(model.branches, AXIS)

    def train_step(state: TrainState, batch: dict) -> tuple[TrainState, dict]:
        # Threefry draws the same per example, however the examples are batched.
        key = jax.random.key(seed, impl="threefry2x32")
        key = jax.random.fold_in(key, state.step)
        augment_key, dropout_key = jax.random.split(key)
        pixels = layout.merge(batch["image"])
        keys = layout.example_keys(augment_key, len(pixels))
        images = layout.split(augment_fn(keys, pixels))

        def loss_fn(params, batch_stats, key):
            outputs, new = model.apply(
                {"params": params, "batch_stats": batch_stats},
                images,
                train=True,
                method="outputs",
                rngs={"dropout": key},
                mutable=["batch_stats"],
            )
            value, terms = loss(outputs, batch["label"])
            hits = jnp.argmax(outputs.base_logits, axis=-1) == batch["label"]
            accuracy = jnp.mean(hits.astype(jnp.float32), axis=1)
            report = {"loss": value, "accuracy": accuracy, **terms}
            return value, (new["batch_stats"], lax.pmean(report, AXIS))

        def grad_fn(params, carry):
            batch_stats, number = carry
            key = jax.random.fold_in(dropout_key, number)
            gradient = jax.grad(loss_fn, has_aux=True)
            grads, (batch_stats, report) = gradient(params, batch_stats, key)
            return grads, (batch_stats, number + 1), report

        # Both passes of SAM see the same images; the statistics pass through both.
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

    def eval_step(variables, images):
        images = augment.preprocess(images, model.image_size)
        images = images[:, :, ::-1] if mirrored else images
        return model.apply(variables, images)

    return jax.pmap(eval_step, AXIS, in_axes=(None, 0), out_axes=0)
