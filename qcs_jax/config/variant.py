"""What follows the colon in `--config=configs/raf.py:qcs,finetune`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import ml_collections

from qcs_jax import models
from qcs_jax.config import base_config
from qcs_jax.system.errors import UserError

FLAGS = ("finetune", "tiny")
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Variant:
    """Form of a recipe.

    Attributes:
      network: A name of `models.BRANCHES`.
      finetune: Whether it starts from a QCS that was trained on AffectNet-8 ("‡" in
        the paper).
      tiny: Whether it is the small network from scratch, to try a data set on two CPU
        cores; its numbers are not the paper's.
    """

    network: str
    finetune: bool = False
    tiny: bool = False

    @classmethod
    def parse(cls, text: str, flags: Sequence[str] = FLAGS) -> Variant:
        """Reads "baseline", "dcs" or "qcs", with ",finetune" or ",tiny".

        Args:
          text: What follows the colon.
          flags: Those of `FLAGS` that the recipe has.

        Raises:
          UserError: for anything else.
        """
        words = text.split(",")
        networks = [word for word in words if word in models.BRANCHES]
        given = [word for word in words if word in flags]
        known = len(networks) + len(given) == len(words)
        if not known or len(networks) != 1 or len(given) > 1:
            alone = f", alone or with one of {', '.join(flags)}, such as qcs,tiny"
            raise UserError(
                f"no variant {text!r}: give {', '.join(models.BRANCHES)}"
                f"{alone if flags else ''}"
            )
        if given == ["finetune"] and networks != ["qcs"]:
            raise UserError(f"no variant {text!r}: the paper fine-tunes qcs alone")
        return cls(networks[0], finetune="finetune" in given, tiny="tiny" in given)

    def config(self, name: str) -> ml_collections.ConfigDict:
        """Returns `base_config()` with this network, called "raf_qcs_tiny" or so."""
        c = base_config()
        flag = "_finetune" * self.finetune + "_tiny" * self.tiny
        c.name = f"{name}_{self.network}{flag}"
        c.model.name = self.network
        return c

    def choose(self, *, dcs: T, qcs: T, finetune: T | None = None) -> T:
        """Returns the value of this variant; the baseline trains as DCS does.

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
            small, full = (models.SIZES[s]["image_size"] for s in ("tiny", "full"))
            c.data.resize = max(round(c.data.resize * small / full), small)
            _shrink(c)
        return c


def small_config(name: str, variant: str) -> ml_collections.ConfigDict:
    """Returns a recipe that trains the small network from scratch.

    Args:
      name: Name of the qcs run; others are called "NAME_dcs" and "NAME_baseline".
      variant: "baseline", "dcs" or "qcs".

    Raises:
      UserError: for another variant.
    """
    network = Variant.parse(variant, flags=()).network
    c = base_config()
    c.name = name if network == "qcs" else f"{name}_{network}"
    c.model.name = network
    _shrink(c)
    return c


def _shrink(c: ml_collections.ConfigDict) -> None:
    c.model.size = "tiny"
    c.optimizer.learning_rate = 6e-4
    c.optimizer.decay = 0.88
    c.train.batch_size = 16
    c.train.epochs = 20
