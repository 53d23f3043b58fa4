"""Every field of a run, its default, and what it may be."""

from __future__ import annotations

import difflib

import ml_collections

from qcs_jax import models
from qcs_jax.config.flat import flatten
from qcs_jax.system.errors import UserError


def base_config() -> ml_collections.ConfigDict:
    """All fields with the defaults of the paper's QCS recipe.

    Files in `configs/` start from this and change what their recipe changes; the
    command line overrides any field: `--config.train.epochs=10`.
    """
    c = ml_collections.ConfigDict()
    c.name = "qcs"  # of the run; its default workdir is runs/<name>
    c.seed = 0  # of weights, draws, augmentation and dropout
    c.dtype = "float32"  # or "bfloat16": compute precision; parameters stay float32
    c.init_from = ""  # checkpoint to start from: Orbax or .pth, whole or backbone alone
    c.data = _data()
    c.model = _model()
    c.loss = _loss()
    c.augment = _augment()
    c.optimizer = _optimizer()
    c.train = _train()
    return c


def _data() -> ml_collections.ConfigDict:
    c = ml_collections.ConfigDict()
    c.name = ""  # DATASET/CONFIG, as data/prepare.py printed it
    c.dir = ""  # root of prepared data sets; default $TFDS_DATA_DIR or TFDS's own
    c.train_split = "train"
    c.test_split = "test"
    c.val_fraction = 0.0  # part of every training class held out to choose an epoch
    c.extra = ""  # added to training: DATASET:CLASS,CLASS+DATASET:CLASS, or nothing
    c.train_fraction = 1.0  # part of every class that is trained on
    c.label_noise = 0.0  # part of the training labels that is made wrong
    c.test_list = ""  # text file with the names of the test images that count
    c.label_map = ""  # test on other classes: "by_name", or THEIRS=OURS,THEIRS=OURS
    c.resize = 224  # images are resized to this square before the crop
    c.workers = 0  # decoding processes; 0 decodes in threads of the main process
    c.anchors = "shuffled"  # or "balanced": a class first, then one of its images
    c.negatives = "by_image"  # or "by_class": a class first, then one of its images
    c.epoch_fraction = 1.0  # part of the training images that are anchors in an epoch
    return c


def _model() -> ml_collections.ConfigDict:
    c = ml_collections.ConfigDict()
    c.name = "qcs"  # "baseline", "dcs" or "qcs"
    c.size = "full"  # as published, or "tiny"
    c.dropout = 0.0  # in the base ViT
    c.cross_dropout = 0.0  # in the cross ViT
    c.drop_projection = False  # also after attention projections (8-class models)
    c.interaction = "csa"  # or "sdpa" (Table 1, row 3; dcs only)
    c.information = "sd"  # qcs compares by "sd", "s" or "d" (Table 2)
    c.gamma = 1.0  # constant part of the weight of D (Eq. 9)
    c.residual = "normalized"  # or "pre_norm" (the published 8-class dcs)
    c.connection = "vit"  # or "none", "gap", "bilinear" (Table 1, rows 2, 4 to 6)
    return c


def _loss() -> ml_collections.ConfigDict:
    c = ml_collections.ConfigDict()
    c.alpha = 1.0  # weight of the cross classifiers (Eq. 10)
    c.distillation = "none"  # or "kl" (Table 1, row 7), "mse" (Fig. 7c)
    c.distillation_weight = 1.0
    c.temperature = 1.0  # of "kl"
    return c


def _augment() -> ml_collections.ConfigDict:
    c = ml_collections.ConfigDict()
    c.flip = 0.5  # probability
    c.rotation = 0.0  # degrees, +-
    c.brightness = 0.0  # factors are drawn from 1 - x to 1 + x
    c.contrast = 0.0
    c.saturation = 0.0
    c.hue = 0.0  # turns of the colour circle, +-
    c.erase = 0.5  # probability
    c.erase_area = (0.02, 0.1)  # of the image
    return c


def _optimizer() -> ml_collections.ConfigDict:
    c = ml_collections.ConfigDict()
    c.learning_rate = 4e-6  # of Adam, in the first epoch
    c.decay = 0.98  # factor per epoch
    c.rho = 0.05  # radius of SAM; 0 is plain Adam in one pass
    c.local_climb = False  # m-SAM: each device climbs along its own gradient
    return c


def _train() -> ml_collections.ConfigDict:
    c = ml_collections.ConfigDict()
    c.epochs = 200
    c.batch_size = 24  # anchors in a step, over all devices; a pass has n times as many
    c.eval_batch_size = 64  # images, over all devices
    c.eval_every = 1  # epochs between evaluations and checkpoints
    c.keep_checkpoints = 2  # newest ones kept, beside the best
    c.log_every = 10  # steps
    c.tensorboard = True
    return c


CHOICES = {
    "dtype": ("float32", "bfloat16"),
    "data.anchors": ("shuffled", "balanced"),
    "data.negatives": ("by_image", "by_class"),
    "model.name": tuple(models.BRANCHES),
    "model.size": tuple(models.SIZES),
    "model.interaction": ("csa", "sdpa"),
    "model.information": ("sd", "s", "d"),
    "model.residual": ("normalized", "pre_norm"),
    "model.connection": ("vit", "none", "gap", "bilinear"),
    "loss.distillation": ("none", "kl", "mse"),
}

# Field -> (lowest, highest), both allowed.
RANGES = {
    "seed": (0, 2**32 - 1),
    "data.resize": (8, 4096),
    "data.workers": (0, 256),
    "data.epoch_fraction": (1e-9, 1),
    "data.train_fraction": (1e-9, 1),
    "data.val_fraction": (0, 0.9),
    "data.label_noise": (0, 1),
    "model.dropout": (0, 0.99),
    "model.cross_dropout": (0, 0.99),
    "model.gamma": (-100, 100),
    "loss.alpha": (0, 1e6),
    "loss.distillation_weight": (0, 1e6),
    "loss.temperature": (1e-3, 1e3),
    "augment.flip": (0, 1),
    "augment.rotation": (0, 180),
    "augment.brightness": (0, 1),
    "augment.contrast": (0, 1),
    "augment.saturation": (0, 1),
    "augment.hue": (0, 0.5),
    "augment.erase": (0, 1),
    "optimizer.learning_rate": (1e-12, 10),
    "optimizer.decay": (1e-6, 1),
    "optimizer.rho": (0, 10),
    "train.epochs": (1, 10**6),
    "train.batch_size": (1, 10**6),
    "train.eval_batch_size": (1, 10**6),
    "train.eval_every": (1, 10**6),
    "train.keep_checkpoints": (1, 10**6),
    "train.log_every": (1, 10**9),
}


def validate(config: ml_collections.ConfigDict) -> None:
    """Checks fields and what they say together; reports everything wrong at once.

    Raises:
      UserError: naming each impossible value and what is possible.
    """
    flat = flatten(config)
    wrong = _unknown_fields(flat)
    for path, choices in CHOICES.items():
        if path in flat and flat[path] not in choices:
            wrong.append(f"{path}={flat[path]!r}: choose from {', '.join(choices)}")
    for path, (low, high) in RANGES.items():
        if path in flat and not _is_number(flat[path], low, high):
            wrong.append(f"{path}={flat[path]!r}: give {low} to {high}")
    wrong = wrong or _contradictions(config)
    if wrong:
        raise UserError("this configuration cannot run:\n  " + "\n  ".join(wrong))


def parse_extra(text: str) -> list[tuple[str, list[str]]]:
    """`data.extra`, "a:x,y+b/c:x", as [("a", ["x", "y"]), ("b/c", ["x"])].

    Raises:
      ValueError: if it is none.
    """
    parts = []
    for part in filter(None, text.split("+")):
        name, _, classes = part.partition(":")
        names = [c.strip() for c in classes.split(",")]
        if not name.strip() or not all(names):
            raise ValueError(f"{part!r} is not DATASET:CLASS,CLASS")
        parts.append((name.strip(), names))
    return parts


def _unknown_fields(flat: dict[str, object]) -> list[str]:
    known = flatten(base_config())
    wrong = []
    for path in flat.keys() - known.keys():
        close = difflib.get_close_matches(path, known, 1)
        hint = f"did you mean {close[0]}?" if close else "there is no such field"
        wrong.append(f"{path}: {hint}")
    wrong += [f"{path}: is missing" for path in known.keys() - flat.keys()]
    return sorted(wrong)


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and low <= value <= high


def _contradictions(c: ml_collections.ConfigDict) -> list[str]:
    wrong = []
    size = models.create(c.model.name, c.model.size).image_size
    if c.data.resize < size:
        wrong.append(
            f"data.resize={c.data.resize}: the {c.model.size} network sees crops of "
            f"{size}x{size}, give at least {size}"
        )
    if c.model.interaction == "sdpa" and c.model.name != "dcs":
        wrong.append(
            f"model.interaction='sdpa': needs two branches, set model.name=dcs (it is "
            f"{c.model.name})"
        )
    if c.loss.distillation != "none" and c.model.name == "baseline":
        wrong.append(
            "loss.distillation: the baseline has no cross branch to learn from"
        )
    area = tuple(c.augment.erase_area or ())
    if len(area) != 2 or not 0 < area[0] <= area[1] <= 1:
        wrong.append(f"augment.erase_area={area}: give 0 < low <= high <= 1")
    try:
        parse_extra(c.data.extra)
    except ValueError as error:
        wrong.append(f"data.extra: {error}; write DATASET:CLASS,CLASS+DATASET:CLASS")
    if not c.data.name:
        wrong.append("data.name: give the name that data/prepare.py printed")
    if not c.name:
        wrong.append("name: give the run a name")
    return wrong
