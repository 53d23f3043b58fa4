"""Every field of a run: its default, what it may be, and what depends on it."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any

import ml_collections

from qcs_jax import models

if TYPE_CHECKING:
    from qcs_jax.models.qcs import QCS


class Role(enum.Flag):
    """Says what depends on a field, beside training."""

    NETWORK = enum.auto()  # whoever reads the weights needs the same value
    INPUT = enum.auto()  # what the network sees; evaluation needs the same value
    HELD_OUT = enum.auto()  # which training images are held out
    TESTED = enum.auto()  # which images are tested
    FIXED = enum.auto()  # no change once training has begun: images, and draws of them
    NEUTRAL = enum.auto()  # no influence on the result: separates no rows of a table
    PAPER = enum.auto()  # every run of the paper has the default


NETWORK, INPUT, HELD_OUT, TESTED, FIXED, NEUTRAL, PAPER = Role


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a configuration."""

    default: Any  # its value in the paper's QCS recipe
    role: Role = Role(0)
    _: dataclasses.KW_ONLY
    range: tuple[float, float] | None = None  # of a number: lowest and highest
    choices: tuple[str, ...] = ()  # all that it may be; else what is of default's type


_COUNT = (1, 10**6)
_RATE = (0, 0.99)
_UNIT = (0, 1)
_PART = (1e-9, 1)

FIELDS = {
    "name": Field("qcs", NEUTRAL),  # of the run; its default workdir is runs/<name>
    # Of weights, draws, augmentation and dropout.
    "seed": Field(0, FIXED | HELD_OUT, range=(0, 2**32 - 1)),
    # Compute precision; parameters stay float32.
    "dtype": Field("float32", INPUT, choices=("float32", "bfloat16")),
    # What to start from: Orbax, .safetensors or .pth, whole or the backbone alone; or
    # the name of a network that comes with the package.
    "init_from": Field(""),
    "data.name": Field("", FIXED | HELD_OUT | TESTED),  # as qcs-jax prepare printed it
    # Root of prepared data sets; default $TFDS_DATA_DIR or TFDS's own.
    "data.dir": Field("", NEUTRAL),
    "data.train_split": Field("train", FIXED | HELD_OUT | PAPER),
    "data.test_split": Field("test", FIXED | TESTED | PAPER),
    # Part of every training class held out to choose an epoch.
    "data.val_fraction": Field(0.0, FIXED | HELD_OUT, range=(0, 0.9)),
    # Split that chooses an epoch, where the data set has one for that.
    "data.val_split": Field("", FIXED | HELD_OUT),
    # Added to training: DATASET:CLASS,CLASS+DATASET:CLASS, or nothing.
    "data.extra": Field("", FIXED),
    # Part of every class that is trained on.
    "data.train_fraction": Field(1.0, FIXED | PAPER, range=_PART),
    # Part of the training labels that is made wrong.
    "data.label_noise": Field(0.0, FIXED | PAPER, range=_UNIT),
    # Text file with the names of the test images that count.
    "data.test_list": Field("", FIXED | TESTED | PAPER),
    # Evaluates on other classes: "by_name", or THEIRS=OURS,THEIRS=OURS.
    "data.label_map": Field("", FIXED | TESTED | PAPER),
    # Images are resized to this square before the crop.
    "data.resize": Field(224, FIXED | INPUT, range=(8, 4096)),
    # Decoding processes; 0 decodes in threads of the main process.
    "data.workers": Field(0, NEUTRAL, range=(0, 256)),
    # The anchor is the next image, or one of a class that is drawn first.
    "data.anchors": Field("shuffled", FIXED, choices=("shuffled", "balanced")),
    # Drawn from all images of other classes, or from one of a class drawn first.
    "data.negatives": Field("by_image", FIXED, choices=("by_image", "by_class")),
    # Part of the training images that are anchors in an epoch.
    "data.epoch_fraction": Field(1.0, FIXED, range=_PART),
    "model.name": Field("qcs", NETWORK, choices=tuple(models.BRANCHES)),
    # As published, or small enough for a CPU.
    "model.size": Field("full", NETWORK | PAPER, choices=tuple(models.SIZES)),
    "model.grey": Field(False, NETWORK | PAPER),  # sees images in grey, as FER2013's
    "model.dropout": Field(0.0, range=_RATE),  # in the base ViT
    "model.cross_dropout": Field(0.0, range=_RATE),  # in the cross ViT
    # Also after attention projections (8-class models).
    "model.drop_projection": Field(False),
    # How images are compared: a name of `csa.METRICS`, or "sdpa" (Table 1, row 3).
    "model.interaction": Field("csa", NETWORK, choices=("csa", "sdpa")),
    # What qcs compares by (Table 2).
    "model.information": Field("sd", NETWORK, choices=("sd", "s", "d")),
    # Constant part of the weight of D (Eq. 9).
    "model.gamma": Field(1.0, NETWORK | PAPER, range=(-100, 100)),
    # "pre_norm" is the published 8-class dcs.
    "model.residual": Field("normalized", NETWORK, choices=("normalized", "pre_norm")),
    # From refined tokens to cross logits (Table 1, rows 2, 4 to 6).
    "model.connection": Field(
        "vit", NETWORK, choices=("vit", "none", "gap", "bilinear")
    ),
    # Weight of the cross classifiers (Eq. 10).
    "loss.alpha": Field(1.0, PAPER, range=(0, 1e6)),
    # A name of `losses.DISTILLATION` (Table 1, row 7; Fig. 7c).
    "loss.distillation": Field("none", choices=("none", "kl", "mse")),
    "loss.distillation_weight": Field(1.0, PAPER, range=(0, 1e6)),
    "loss.temperature": Field(1.0, PAPER, range=(1e-3, 1e3)),  # of "kl"
    # Probability that is spread evenly over all classes.
    "loss.label_smoothing": Field(0.0, PAPER, range=_RATE),
    "augment.flip": Field(0.5, range=_UNIT),  # probability
    "augment.rotation": Field(0.0, range=(0, 180)),  # degrees, +-
    "augment.scale": Field(0.0, PAPER, range=(0, 3)),  # from 1 / (1 + x) to 1 + x
    # Of the side, +-; with either, crops are of the middle, and interpolated.
    "augment.shift": Field(0.0, PAPER, range=_UNIT),
    # Factors are drawn from 1 - x to 1 + x.
    "augment.brightness": Field(0.0, range=_UNIT),
    "augment.contrast": Field(0.0, range=_UNIT),
    "augment.saturation": Field(0.0, range=_UNIT),
    "augment.hue": Field(0.0, range=(0, 0.5)),  # turns of the colour circle, +-
    # Probability that it is made dark, blurred, noisy or so, see `images.photograph`.
    "augment.photograph": Field(0.0, PAPER, range=_UNIT),
    "augment.erase": Field(0.5, range=_UNIT),  # probability
    "augment.erase_area": Field((0.02, 0.1)),  # of the image
    "optimizer.learning_rate": Field(4e-6, range=(1e-12, 10)),  # of Adam, the largest
    # How it falls: see `train.run.Run.learning_rate`.
    "optimizer.schedule": Field(
        "exponential", PAPER, choices=("exponential", "cosine")
    ),
    "optimizer.decay": Field(0.98, range=(1e-6, 1)),  # "exponential": factor per epoch
    "optimizer.warmup": Field(0.0, PAPER, range=(0, 100)),  # epochs before it falls
    "optimizer.rho": Field(0.05, PAPER, range=(0, 10)),  # SAM's radius; 0: plain Adam
    # Weight of the past in a mean of the weights over steps, which is evaluated and
    # kept instead of the last ones; 0: none.
    "optimizer.average": Field(0.0, FIXED | PAPER, range=(0, 0.999999)),
    # m-SAM: each device climbs along its own gradient.
    "optimizer.local_climb": Field(False),
    "train.epochs": Field(200, range=_COUNT),
    # Anchors in a step, over all devices; a pass has n times as many images.
    "train.batch_size": Field(24, FIXED, range=_COUNT),
    # Images, over all devices.
    "train.eval_batch_size": Field(64, NEUTRAL, range=_COUNT),
    # Epochs between evaluations and checkpoints.
    "train.eval_every": Field(1, range=_COUNT),
    # Computes units of the backbone once more for the gradient: less memory.
    "train.remat": Field(False, NEUTRAL),
    # Newest ones kept, beside the best.
    "train.keep_checkpoints": Field(2, NEUTRAL, range=_COUNT),
    "train.log_every": Field(10, NEUTRAL, range=(1, 10**9)),  # steps
    "train.tensorboard": Field(True, NEUTRAL),
}


def fields_with(role: Role) -> tuple[str, ...]:
    """Returns the dotted names of the fields that have a role."""
    return tuple(name for name, field in FIELDS.items() if role in field.role)


def base_config() -> ml_collections.ConfigDict:
    """Returns all fields with the defaults of the paper's QCS recipe.

    Files in `configs/` start from this and change what their recipe changes; the
    command line overrides any field: `--config.train.epochs=10`.
    """
    config = ml_collections.ConfigDict()
    for name, field in FIELDS.items():
        section, _, key = name.rpartition(".")
        if section and section not in config:
            config[section] = ml_collections.ConfigDict()
        (config[section] if section else config)[key] = field.default
    return config


def flatten(config: Any) -> dict[str, Any]:
    """Returns `{"train.epochs": 200, ...}`, from a configuration or its `to_dict()`."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if hasattr(value, "items"):
            flat |= {f"{key}.{rest}": v for rest, v in flatten(value).items()}
        else:
            flat[key] = value
    return flat


def create_model(config: Any, num_classes: int) -> QCS:
    """Makes the network of `config.model`, with logits of this width."""
    import jax.numpy as jnp  # nothing else of a configuration needs JAX

    options = config.model.to_dict()
    name, size = options.pop("name"), options.pop("size")
    dtype = jnp.dtype(config.dtype)
    return models.create(name, size, num_classes=num_classes, dtype=dtype, **options)
