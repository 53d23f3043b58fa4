"""What follows the colon in `--config=configs/raf.py:qcs,finetune`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import ml_collections

from qcs_jax import models
from qcs_jax.config import base_config
from qcs_jax.system.errors import UserError

FLAGS = ("finetune", "tiny", "small", "medium")
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Variant:
    """Form of a recipe.

    Attributes:
      network: A name of `models.BRANCHES`.
      flag: The word behind it, or "". "finetune" starts from a trained network, in the
        paper from a QCS of AffectNet-8 ("‡"). A name of `models.SIZES` is a network of
        this size; its numbers are not the paper's.
    """

    network: str
    flag: str = ""

    @property
    def finetune(self) -> bool:
        """Whether it starts from a trained network."""
        return self.flag == "finetune"

    @classmethod
    def parse(cls, text: str, flags: Sequence[str] = FLAGS) -> Variant:
        """Reads "baseline", "dcs" or "qcs", alone or with a flag of the recipe."""
        words = text.split(",")
        networks = [word for word in words if word in models.BRANCHES]
        chosen = [word for word in words if word in flags]
        known = len(networks) + len(chosen) == len(words)
        if not known or len(networks) != 1 or len(chosen) > 1:
            alone = f", alone or with one of {', '.join(flags)}, such as qcs,tiny"
            raise UserError(
                f"no variant {text!r}: give {', '.join(models.BRANCHES)}"
                f"{alone if flags else ''}"
            )
        if chosen == ["finetune"] and networks != ["qcs"]:
            raise UserError(f"no variant {text!r}: the paper fine-tunes qcs alone")
        return cls(networks[0], *chosen)

    def config(self, name: str) -> ml_collections.ConfigDict:
        """Returns `base_config()` with this network, called "raf_qcs_tiny" or so."""
        c = base_config()
        c.name = "_".join(filter(None, (name, self.network, self.flag)))
        c.model.name = self.network
        return c

    def choose(self, *, dcs: T, qcs: T, finetune: T | None = None) -> T:
        """Returns the value of this variant; the baseline trains as DCS does."""
        if self.finetune:
            if finetune is None:
                raise UserError("this recipe has no variant finetune: leave it out")
            return finetune
        return qcs if self.network == "qcs" else dcs

    def complete(self, c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
        """Turns a finished published recipe into the one of this variant."""
        if self.finetune:
            c.init_from = "runs/affectnet8_qcs"
        if self.flag in models.SIZES:
            ours, full = (models.SIZES[s]["image_size"] for s in (self.flag, "full"))
            c.data.resize = max(round(c.data.resize * ours / full), ours)
            from_scratch(c, self.flag)
        if self.flag == "medium":
            c.init_from = "faces"
        return c


def small_config(name: str, variant: str) -> ml_collections.ConfigDict:
    """Returns a recipe of the tiny network from scratch; qcs is just called `name`."""
    c = Variant.parse(variant, flags=()).config(name)
    c.name = c.name.removesuffix("_qcs")
    from_scratch(c, "tiny")
    return c


def from_scratch(c: ml_collections.ConfigDict, size: str) -> None:
    """Turns a recipe into one of a small network that starts from fresh weights."""
    c.model.size = size
    c.optimizer.learning_rate = 6e-4
    c.optimizer.decay = 0.88
    c.train.batch_size = 16
    c.train.epochs = 20
