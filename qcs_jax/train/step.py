"""The train step and the evaluation step: the only code that knows about devices.

What sees images is written for one device with a named axis and mapped over all of them
by pmap; the batch is split along its leading axis. The state goes in and comes out as
one replicated tree (`None` axes). Everything that must be equal on all devices is
reduced over the axis inside, so the same global batch gives the same result on 1, 2, 4
or 8 devices.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from qcs_jax.images import augment
from qcs_jax.models.batch_layout import BatchLayout
from qcs_jax.train.losses import JointLoss
from qcs_jax.train.sam import SAM

AXIS = "data"
_RANDOM = "threefry2x32"


class TrainState(flax.struct.PyTreeNode):
    """What training carries from step to step: the same on every device, not stacked.

    Attributes:
      step: int32 scalar, number of steps taken.
      params: Parameters, float32.
      batch_stats: Running averages of batch normalisation, float32.
      opt_state: State of the optimizer.
      mean: Exponential mean of parameters and running averages over the steps, for
        runs that have one.
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any
    mean: Any = None

    @classmethod
    def create(
        cls, variables: dict, optimizer: SAM, *, averaged: bool = False
    ) -> TrainState:
        """Returns the state before the first step, with these variables."""
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=variables["params"],
            batch_stats=variables["batch_stats"],
            opt_state=optimizer.init(variables["params"]),
            # Not the same arrays: both are donated.
            mean=jax.tree.map(jnp.copy, dict(variables)) if averaged else None,
        )

    @property
    def trained(self) -> dict:
        """The variables that the next step changes."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def variables(self) -> dict:
        """The variables to evaluate and keep: the mean where there is one."""
        return self.trained if self.mean is None else self.mean


def replicate(tree: Any) -> Any:
    """Copies a tree to all devices of this process, laid out as the steps return it.

    A state that enters its first step in any other layout makes XLA compile twice; in
    several processes, what is not laid out so is copied for every step.
    """
    mesh = jax.sharding.Mesh(jax.local_devices(), (AXIS,))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return jax.device_put(tree, everywhere)


@dataclasses.dataclass(frozen=True)
class TrainStep:
    """The training step: a few programs, called one after the other.

    The gradient takes by far the longest to compile, and one program serves both passes
    of SAM. (A loop inside a single program would, too, but XLA runs the body of a loop
    on one core of a CPU.) What differs from run to run, such as the seed and the
    learning rate, is an argument: all runs of a network share their programs, also
    through the cache of compiled programs.

    Attributes:
      optimizer: SAM around an optax optimizer.
      seed: Key of augmentation and dropout, together with the step number; uint32
        `[2]`, see `seed_data`.
      prepare: `(seed, step, pixels) -> (images, dropout key, step + 1)`.
      gradients: `(params, batch_stats, images, labels, dropout key, number) ->
        (gradient, batch_stats, report)` for passes number 0 and 1 of SAM; donates the
        running averages.
      climb: `SAM.climb`; donates the gradient.
      update: `SAM.update`; donates all but the learning rate.
      average: `(mean, variables, step) -> mean`; donates the mean.
    """

    optimizer: SAM
    seed: np.ndarray
    prepare: Callable
    gradients: tuple[Callable, Callable]
    climb: Callable
    update: Callable
    average: Callable = lambda mean, variables, step: mean

    def __call__(
        self, state: TrainState, batch: dict, learning_rate: float
    ) -> tuple[TrainState, dict]:
        """Takes one step; donates the state.

        Args:
          state: Where training is.
          batch: `{"image": uint8 [devices, n, b, h, w, 3], "label": int32 [devices, n,
            b]}`.
          learning_rate: That of this step.

        Returns:
          The new state, and the reports of "pass1" and "pass2" (missing where `rho` is
          0), each with "loss", its terms, "accuracy" `[n]` of the base branch, and
          "grad_norm".
        """
        first, second = self.gradients
        images, key, step = self.prepare(self.seed, state.step, batch["image"])
        inputs = images, batch["label"], key
        grads, stats, report = first(
            state.params, state.batch_stats, *inputs, np.int32(0)
        )
        reports = {"pass1": report}
        if self.optimizer.rho > 0:
            uphill = self.climb(state.params, grads)
            grads, stats, report = second(uphill, stats, *inputs, np.int32(1))
            reports["pass2"] = report
        params, opt_state = self.update(
            state.params, state.opt_state, grads, learning_rate
        )
        new = TrainState(step, params, stats, opt_state)
        if state.mean is not None:
            new = new.replace(mean=self.average(state.mean, new.trained, step))
        return new, reports


def seed_data(seed: int) -> np.ndarray:
    """The key that a seed stands for, uint32 `[2]`."""
    # Threefry draws the same per example, however the examples are batched.
    return np.asarray(jax.random.key_data(jax.random.key(seed, impl=_RANDOM)))


def make_train_step(
    model: nn.Module,
    optimizer: SAM,
    *,
    loss: JointLoss,
    augment_fn: Callable[[jax.Array, jax.Array], jax.Array],
    seed: int,
    local_climb: bool = False,
    average: float = 0.0,
    devices: Sequence[jax.Device] | None = None,
) -> TrainStep:
    """Builds the training step.

    Args:
      model: Network; its `axis_name` is set here.
      optimizer: SAM around an optax optimizer.
      loss: Loss of what the network says.
      augment_fn: `(keys [m], images [m, h, w, 3]) -> [m, s, s, 3]`, normalised; its
        result serves both passes of SAM.
      seed: Seed of augmentation and dropout.
      local_climb: Climb along each device's own gradient (m-SAM) instead of the
        averaged one. The two passes then are two programs.
      average: Weight of the past in the mean of a state that has one.
      devices: To map over; default all.
    """
    model = model.clone(axis_name=AXIS)
    layout = BatchLayout(model.branches, AXIS)

    def prepare(seed, step, pixels):
        key = jax.random.wrap_key_data(seed, impl=_RANDOM)
        augment_key, dropout_key = jax.random.split(jax.random.fold_in(key, step))
        pixels = layout.merge(pixels)
        keys = layout.example_keys(augment_key, len(pixels))
        images = layout.split(augment_fn(keys, pixels))
        return images, jax.random.key_data(dropout_key), step + 1

    def loss_fn(params, batch_stats, images, labels, key):
        outputs, new = model.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            train=True,
            method="outputs",
            rngs={"dropout": key},
            mutable=["batch_stats"],
        )
        value, terms = loss(outputs, labels)
        hits = jnp.argmax(outputs.base_logits, axis=-1) == labels
        accuracy = jnp.mean(hits.astype(jnp.float32), axis=1)
        report = {"loss": value, "accuracy": accuracy, **terms}
        return value, (new["batch_stats"], lax.pmean(report, AXIS))

    def gradient(params, batch_stats, images, labels, key, number, *, reduced=True):
        key = jax.random.wrap_key_data(key, impl=_RANDOM)
        key = jax.random.fold_in(key, number)
        grad_fn = jax.grad(loss_fn, has_aux=True)
        local, (batch_stats, report) = grad_fn(params, batch_stats, images, labels, key)
        grads = lax.pmean(local, AXIS)
        report = {**report, "grad_norm": optax.tree.norm(grads)}
        return grads if reduced else local, batch_stats, report

    def advance(mean, variables, step):
        # A mean over a long time would begin with the fresh weights for as long.
        t = step.astype(jnp.float32)
        share = 1.0 - jnp.minimum(average, (1.0 + t) / (10.0 + t))
        return optax.incremental_update(variables, mean, share)

    # What is one tree for all devices has the axis None, what each has its own, 0.
    def mapped(function, in_axes, out_axes, donate=()):
        return jax.pmap(
            function,
            AXIS,
            in_axes=in_axes,
            out_axes=out_axes,
            donate_argnums=donate,
            devices=devices,
        )

    def mapped_gradient(params=None, grads=None):
        function = functools.partial(gradient, reduced=grads is None)
        in_axes, out_axes = (params, None, 0, 0, None, None), (grads, None, None)
        return mapped(function, in_axes, out_axes, donate=1)

    if local_climb and optimizer.rho > 0:
        gradients = mapped_gradient(grads=0), mapped_gradient(params=0)
        climb = jax.vmap(optimizer.climb, (None, 0))
    else:
        gradients = (mapped_gradient(),) * 2
        climb = optimizer.climb
    return TrainStep(
        optimizer=optimizer,
        seed=seed_data(seed),
        prepare=mapped(prepare, (None, None, 0), (0, None, None)),
        gradients=gradients,
        climb=jax.jit(climb, donate_argnums=1),
        update=jax.jit(optimizer.update, donate_argnums=(0, 1)),
        average=jax.jit(advance, donate_argnums=0),
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
