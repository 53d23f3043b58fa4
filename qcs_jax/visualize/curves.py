"""Training losses and test metrics by epoch (Figure 7)."""

from __future__ import annotations

import dataclasses

import numpy as np

from qcs_jax.visualize import Unavailable

_TERMS = ("base", "cross")
_NO_LOG = "the run has no log: a converted checkpoint has none"
_NO_LOSSES = (
    "the run's log has no training loss before an evaluation: it is shorter than "
    "train.log_every steps"
)


@dataclasses.dataclass(frozen=True)
class Curves:
    """How a run went.

    Attributes:
      epoch: `[t]`, when each training loss was logged, in epochs (not whole).
      losses: "base" and, with an interaction, "cross" -> `[t]` nats.
      evaluations: "test" and, if some were held out, "held_out" -> epoch `[e]`, NLL
        `[e]` in nats and accuracy `[e]`.
    """

    epoch: np.ndarray
    losses: dict[str, np.ndarray]
    evaluations: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, lines: list[dict]) -> Curves:
        """Reads the lines of `run_log.read_log`.

        Raises:
          Unavailable: if there is no log, or no epoch of it is finished.
        """
        trained = [line for line in lines if line["kind"] == "train"]
        tested = [line for line in lines if line["kind"] == "test"]
        if not trained or not tested:
            raise Unavailable(_NO_LOSSES if lines else _NO_LOG)
        steps_per_epoch = tested[-1]["step"] / tested[-1]["epoch"]
        losses = {
            term: np.array([line[f"{term}_loss"] for line in trained])
            for term in _TERMS
            if f"{term}_loss" in trained[0]
        }
        evaluations = {}
        for kind in ("test", "held_out"):
            found = [line for line in lines if line["kind"] == kind]
            if found:
                epochs, nll, accuracy = (
                    np.array([line[key] for line in found])
                    for key in ("epoch", "nll", "accuracy")
                )
                evaluations[kind] = epochs, nll, accuracy
        epoch = np.array([line["step"] for line in trained]) / steps_per_epoch
        return cls(epoch, losses, evaluations)
