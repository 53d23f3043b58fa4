"""Two runs of the toy world, and what evaluations leave in them."""

import json

import toy

from qcs_jax.evaluate import predictions
from qcs_jax.train import loop

HELD_OUT = {"data.val_fraction": 0.2}


def train(folder):
    """A run without and one with held-out images."""
    loop.train_and_evaluate(toy.config(), folder / "plain")
    loop.train_and_evaluate(toy.config(**HELD_OUT), folder / "held_out")


def written(folder):
    measured = json.loads((folder / "metrics.json").read_text())
    return measured, predictions.read(folder / "predictions.csv")
