"""What a run tells: scalars of a step, and the summary at its end."""

from __future__ import annotations

import dataclasses
import math
import pathlib

import jax

from qcs_jax.evaluate.run_log import Scores

BRANCH_NAMES = ("anchor", "positive", "negative", "negative2")


def scalars_of(reports: dict) -> dict[str, float]:
    """Fetches what a train step reported from the devices; names every number."""
    reports = jax.device_get(reports)
    first = reports["pass1"]
    scalars = {"loss": first["loss"], "accuracy": first["accuracy"].mean()}
    for term in ("base", "cross"):
        if len(first[term]):
            scalars[f"{term}_loss"] = first[term].mean()
            for name, value in zip(BRANCH_NAMES, first[term], strict=False):
                scalars[f"{term}_loss/{name}"] = value
    if "distillation" in first:
        scalars["distillation_loss"] = first["distillation"]
    scalars["grad_norm"] = first["grad_norm"]
    if "pass2" in reports:
        scalars["climbed_loss"] = reports["pass2"]["loss"]
        scalars["climbed_grad_norm"] = reports["pass2"]["grad_norm"]
    return {name: float(value) for name, value in scalars.items()}


def check_finite(scalars: dict[str, float]) -> None:
    """Raises FloatingPointError, with the terms, if a loss or a gradient is not finite.

    Its gradient can be so where a loss is not; each pass of SAM has its own.
    """
    terms = {x: value for x, value in scalars.items() if "loss" in x or "grad" in x}
    if not all(map(math.isfinite, terms.values())):
        raise FloatingPointError(
            ", ".join(f"{name} {value:.6g}" for name, value in terms.items())
        )


def progress_line(epoch: int, step: int, measured: dict[str, dict]) -> str:
    """Formats the metrics of each split after an epoch."""
    parts = [f"epoch {epoch:3d}  step {step:6d}"]
    for kind, metrics in measured.items():
        parts.append(
            f"{kind.replace('_', '-')}: accuracy {metrics['accuracy']:.4f}  "
            f"mean class accuracy {metrics['mean_class_accuracy']:.4f}  "
            f"NLL {metrics['nll']:.3f}"
        )
    return "  ".join(parts)


@dataclasses.dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
      epochs: Number of epochs taken in all.
      steps: Number of steps taken in all.
      seconds: Time that this process took.
      scores: Test metrics of the last epoch and of the best ones.
      checkpoint: Folder of the checkpoint that stands for the run, see `choose_step`.
    """

    epochs: int
    steps: int
    seconds: float
    scores: Scores
    checkpoint: pathlib.Path

    def __str__(self) -> str:
        named = self.scores.named()
        width = max(map(len, named)) + len("test, ")
        lines = [
            f"trained {self.epochs} epochs, {self.steps} steps; this process took "
            f"{self.seconds / 60:.1f} minutes"
        ]
        for name, metrics in named.items():
            lines.append(
                f"  {'test, ' + name:<{width}}  accuracy {metrics['accuracy']:.4f}, "
                f"mean class accuracy {metrics['mean_class_accuracy']:.4f} "
                f"(epoch {metrics['epoch']})"
            )
        lines.append(f"  {'checkpoint':<{width}}  {self.checkpoint}")
        return "\n".join(lines)
