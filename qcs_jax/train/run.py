"""A configured run: its data, its network, its learning rate, and what trains it."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

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
    """What a configuration stands for: its images, and the devices that compute it."""

    config: ml_collections.ConfigDict
    splits: Splits
    topology: Topology

    @classmethod
    def of(
        cls,
        config: ml_collections.ConfigDict,
        trained_on: Sequence[str] | None = None,
    ) -> Run:
        """Raises UserError for a configuration that cannot run on these devices.

        `trained_on` are the class names of a network to evaluate; None for training.
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
        return create_model(self.config, len(self.splits.class_names))

    @functools.cached_property
    def optimizer(self) -> SAM:
        return create_optimizer(self.config)

    @property
    def description(self) -> dict:
        """What its checkpoints say about themselves."""
        return describe(self.config, self.splits.class_names, self.model.image_size)

    @functools.cached_property
    def epoch_steps(self) -> int:
        c, images = self.config, len(self.splits.train)
        return steps_per_epoch(images, c.train.batch_size, c.data.epoch_fraction)

    @property
    def total_steps(self) -> int:
        return self.config.train.epochs * self.epoch_steps

    def learning_rate(self, step: int) -> float:
        """Returns that of a step, from 0, on the host: no run compiles its own.

        It rises in equal steps during the warm-up, then falls: "exponential" by a
        factor from epoch to epoch, as in the paper; "cosine" by half a wave to 0
        (Loshchilov and Hutter, 2017).
        """
        c = self.config.optimizer
        rising = c.warmup * self.epoch_steps
        if step + 1 < rising:
            return c.learning_rate * (step + 1) / rising
        if c.schedule == "exponential":
            return c.learning_rate * c.decay ** (step // self.epoch_steps)
        part = max(step - rising, 0) / (self.total_steps - rising)
        return c.learning_rate * (1 + math.cos(math.pi * part)) / 2


def create_optimizer(config: ml_collections.ConfigDict) -> SAM:
    """Makes SAM around Adam, as `config.optimizer` says."""
    return SAM(adam(), config.optimizer.rho)


def create_train_step(
    config: ml_collections.ConfigDict,
    model: QCS,
    optimizer: SAM,
    devices: Sequence[jax.Device] | None = None,
) -> TrainStep:
    """Makes the step that trains a network as a configuration says, on all devices."""
    drawn = Augmentation(size=model.image_size, **config.augment.to_dict())
    return make_train_step(
        model.clone(remat=config.train.remat),
        optimizer,
        loss=JointLoss(**config.loss.to_dict()),
        augment_fn=functools.partial(augment, augmentation=drawn),
        seed=config.seed,
        local_climb=config.optimizer.local_climb,
        average=config.optimizer.average,
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
