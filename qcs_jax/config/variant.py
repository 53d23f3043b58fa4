"""What follows the colon in `--config=configs/raf.py:qcs,finetune`."""

from __future__ import annotations

import dataclasses
from typing import TypeVar

import ml_collections

from qcs_jax import models
from qcs_jax.config import base_config
from qcs_jax.system.errors import UserError

_FLAGS = ("finetune", "tiny")
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Variant:
    """Which form of a recipe is meant.

    Attributes:
      network: A name of `models.BRANCHES`.
      finetune: Start from a QCS that was trained on AffectNet-8 ("‡" in the paper).
      tiny: The small network from scratch, to try a data set on two CPU cores; its
        numbers are not the paper's.
    """

    network: str
    finetune: bool = False
    tiny: bool = False

    @classmethod
    def parse(cls, text: str) -> Variant:
        """Reads "baseline", "dcs" or "qcs", with ",finetune" or ",tiny".

        Raises:
          UserError: for anything else.
        """
        words = text.split(",")
        networks = [word for word in words if word in models.BRANCHES]
        flags = [word for word in words if word in _FLAGS]
        known = len(networks) + len(flags) == len(words)
        if not known or len(networks) != 1 or len(flags) > 1:
            raise UserError(
                f"no variant {text!r}: give {', '.join(models.BRANCHES)}, alone or "
                f"with one of {', '.join(_FLAGS)}, such as qcs,tiny"
            )
        if flags == ["finetune"] and networks != ["qcs"]:
            raise UserError(f"no variant {text!r}: the paper fine-tunes qcs alone")
        return cls(networks[0], finetune="finetune" in flags, tiny="tiny" in flags)

    def config(self, name: str) -> ml_collections.ConfigDict:
        """`base_config()` with this network and a name such as "raf_qcs_finetune"."""
        c = base_config()
        flag = "_finetune" * self.finetune + "_tiny" * self.tiny
        c.name = f"{name}_{self.network}{flag}"
        c.model.name = self.network
        return c

    def choose(self, *, dcs: T, qcs: T, finetune: T | None = None) -> T:
        """The value of this variant; the baseline trains as DCS does.

        Raises:
          UserError: for fine-tuning where a recipe has none.
        """
        if self.finetune:
            if finetune is None:
                raise UserError("this recipe has no variant finetune: leave it out")
            return finetune
        return qcs if self.network == "qcs" else dcs

    def complete(self, c: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
        """Turns a finished published recipe into the one of this variant."""
        if self.finetune:
            c.init_from = "runs/affectnet8_qcs"
        if self.tiny:
            small, full = (models.create("qcs", s).image_size for s in ("tiny", "full"))
            c.model.size = "tiny"
            c.data.resize = max(round(c.data.resize * small / full), small)
            c.optimizer.learning_rate = 6e-4
            c.optimizer.decay = 0.88
            c.train.batch_size = 16
            c.train.epochs = 20
        return c
