"""Writes a trained network as one file of weights, with what is known about it."""

from __future__ import annotations

import contextlib
import json
import pathlib
from typing import Any

import jax

from qcs_jax.checkpoint import Trained, choose_step, weights
from qcs_jax.metrics.run_log import METRICS_FILE
from qcs_jax.system.errors import UserError

# Of `metrics.json`: what a file of weights tells about its network.
_TOLD = (
    *("dataset", "split", "examples", "metrics", "intervals", "per_class", "confusion"),
    "calibrated",
)


def save_safetensors(
    out: pathlib.Path, path: str, *, dtype: str, calibrate: bool
) -> dict[str, Any]:
    """Writes the checkpoint that a path means; returns its description.

    The description is that of the checkpoint, with "step", "chosen" (how the epoch was
    chosen) and, if this checkpoint was evaluated, its "evaluation".

    Args:
      out: The file.
      path: See `load_variables`.
      dtype: "float32" or "float16".
      calibrate: Divide the logits of the base branch by the temperature that held-out
        images gave, by dividing the weights of its last layer: what is loaded from
        the file then gives calibrated probabilities.

    Raises:
      UserError: if there is no checkpoint, or no temperature.
      OSError: if the file cannot be written.
    """
    step, chosen = choose_step(path)
    trained = Trained.load(path, step=step)
    description = trained.description | {"step": step, "chosen": chosen}
    evaluation = _evaluation_of(trained)
    if evaluation:
        description["evaluation"] = {name: evaluation[name] for name in _TOLD}
        description["preprocessing"]["landmarks"] = evaluation.get("landmarks")
    variables = trained.variables
    if calibrate:
        calibrated = evaluation and evaluation["calibrated"]
        if not calibrated:
            raise UserError(
                f"{path} has no temperature: evaluate the run (--mode=eval) with held-"
                f"out images, data.val_fraction or data.val_split, and convert again"
            )
        description["temperature"] = calibrated["temperature"]
        head = variables["params"]["base"]["vit"]["head"]
        scaled = jax.tree.map(lambda x: x / calibrated["temperature"], head)
        variables["params"]["base"]["vit"]["head"] = scaled
    out.parent.mkdir(parents=True, exist_ok=True)
    weights.save(out, variables, description, dtype=dtype)
    return description


def _evaluation_of(trained: Trained) -> dict[str, Any] | None:
    """What `--mode=eval` wrote about this checkpoint, or None."""
    with contextlib.suppress(OSError, ValueError):
        text = (trained.workdir / METRICS_FILE).read_text(encoding="utf-8")
        evaluation = json.loads(text)
        if evaluation["step"] == trained.step:
            return evaluation
    return None
