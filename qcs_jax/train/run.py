"""A configured run: its data, its network, its learning rate, and what trains it."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence

import grain
import jax
import ml_collections

from qcs_jax.checkpoint.description import describe
from qcs_jax.config import create_model, validate
from qcs_jax.images.augment import Augmentation, augment
from qcs_jax.input import pipeline
from qcs_jax.input.pipeline import Topology, steps_per_epoch
from qcs_jax.input.sampling import Draw, LabelIndex
from qcs_jax.input.splits import Splits
from qcs_jax.models.qcs import QCS
from qcs_jax.system.errors import UserError
from qcs_jax.train.losses import JointLoss
from qcs_jax.train.sam import SAM, adam
from qcs_jax.train.step import TrainStep, make_train_step


@dataclasses.dataclass(frozen=True)
class Run:
    """What a configuration stands for.

    Attributes:
      config: See `base_config`.
      splits: Its images.
      topology: Hosts and devices.
    """

    config: ml_collections.ConfigDict
    splits: Splits
    topology: Topology

    @classmethod
    def of(
        cls,
        config: ml_collections.ConfigDict,
        trained_on: Sequence[str] | None = None,
    ) -> Run:
        """Checks a configuration against itself and against the devices.

        Args:
          config: See `base_config`.
          trained_on: Class names of the network to evaluate; None for training.

        Raises:
          UserError: for a configuration that cannot run.
        """
        training, topology = trained_on is None, Topology.current()
        validate(config, training=training)
        parts = topology.hosts * topology.devices
        for field in ("batch_size", "eval_batch_size")[not training :]:
            size = config.train[field]
            if size % parts:
                raise UserError(
                    f"train.{field}={size} cannot be split over {parts} devices: give "
                    f"a multiple of {parts}"
                )
        return cls(config, Splits(config, class_names=trained_on), topology)

    @functools.cached_property
    def model(self) -> QCS:
        """The network."""
        return create_model(self.config, len(self.splits.class_names))

    @functools.cached_property
    def optimizer(self) -> SAM:
        """What trains it."""
        return create_optimizer(self.config)

    @property
    def description(self) -> dict:
        """What its checkpoints say about themselves."""
        return describe(self.config, self.splits.class_names, self.model.image_size)

    @functools.cached_property
    def epoch_steps(self) -> int:
        """Number of steps in an epoch."""
        c, images = self.config, len(self.splits.train)
        return steps_per_epoch(images, c.train.batch_size, c.data.epoch_fraction)

    @property
    def total_steps(self) -> int:
        """Number of steps in the whole run."""
        return self.config.train.epochs * self.epoch_steps

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step."""
        c, optimizer = self.config, self.config.optimizer
        return learning_rate(
            step,
            optimizer.learning_rate,
            epoch_steps=self.epoch_steps,
            epochs=c.train.epochs,
            schedule=optimizer.schedule,
            decay=optimizer.decay,
            warmup=optimizer.warmup,
        )


def learning_rate(
    step: int,
    largest: float,
    *,
    epoch_steps: int,
    epochs: int,
    schedule: str,
    decay: float,
    warmup: float,
) -> float:
    """The learning rate of a step, computed on the host: no run compiles its own.

    Args:
      step: Number of the step, from 0.
      largest: Learning rate at the end of the warm-up.
      epoch_steps: Number of steps in an epoch.
      epochs: Number of epochs of the run.
      schedule: "exponential": by a factor from epoch to epoch, as the paper does.
        "cosine": half a wave from the end of the warm-up to 0 (Loshchilov and Hutter,
        2017).
      decay: That factor.
      warmup: Epochs, or a part of one, in which it rises in equal steps.

    Raises:
      ValueError: for another schedule.
    """
    rising = warmup * epoch_steps
    if step + 1 < rising:
        return largest * (step + 1) / rising
    if schedule == "exponential":
        return largest * decay ** (step // epoch_steps)
    if schedule == "cosine":
        part = max(step - rising, 0) / (epochs * epoch_steps - rising)
        return largest * (1 + math.cos(math.pi * part)) / 2
    raise ValueError(f"no schedule {schedule!r}: choose exponential or cosine")


def create_optimizer(config: ml_collections.ConfigDict) -> SAM:
    """Makes SAM around Adam, as `config.optimizer` says."""
    return SAM(adam(), config.optimizer.rho)


def create_augmentation(
    config: ml_collections.ConfigDict, image_size: int
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Makes `(keys, uint8 images) -> normalised crops` as `config.augment` says."""
    drawn = Augmentation(size=image_size, **config.augment.to_dict())
    return functools.partial(augment, augmentation=drawn)


def create_train_step(
    config: ml_collections.ConfigDict,
    model: QCS,
    optimizer: SAM,
    devices: Sequence[jax.Device] | None = None,
) -> TrainStep:
    """Makes the step that trains a network as a configuration says.

    Args:
      config: See `base_config`.
      model: Its network.
      optimizer: From `create_optimizer`.
      devices: To map over; default all.
    """
    return make_train_step(
        model.clone(remat=config.train.remat),
        optimizer,
        loss=JointLoss(**config.loss.to_dict()),
        augment_fn=create_augmentation(config, model.image_size),
        seed=config.seed,
        local_climb=config.optimizer.local_climb,
        devices=devices,
    )


def open_batches(run: Run, start: int) -> grain.DatasetIterator:
    """Iterates over the batches of a run from a step on; the caller closes it."""
    c, train = run.config, run.splits.train
    index = LabelIndex(train.labels, len(run.splits.class_names))
    batches = pipeline.train_batches(
        train,
        Draw(index, run.model.branches, c.data.anchors, c.data.negatives),
        batch_size=c.train.batch_size,
        side=c.data.resize,
        seed=c.seed,
        epoch_fraction=c.data.epoch_fraction,
        topology=run.topology,
    )
    return pipeline.iterate(batches, start, workers=c.data.workers)
