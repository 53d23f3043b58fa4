"""From a path to the trained network that it means."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib

import ml_collections

from qcs_jax.checkpoint.loading import load_variables, run_folder
from qcs_jax.config.network import create_model
from qcs_jax.models.qcs import QCS


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A network with its weights, as a checkpoint holds them.

    Attributes:
      variables: `{"params": ..., "batch_stats": ...}`, NumPy arrays.
      description: What the checkpoint says about itself, see `describe`.
      step: Number of steps that were taken.
      workdir: Folder of the run.
    """

    variables: dict
    description: dict
    step: int
    workdir: pathlib.Path

    @classmethod
    def load(
        cls, path: str | os.PathLike, *, step: int | None = None, branch: str = ""
    ) -> Trained:
        """Reads a checkpoint; for arguments and errors see `load_variables`."""
        variables, description, step = load_variables(path, step=step, branch=branch)
        return cls(variables, description, step, run_folder(path))

    @functools.cached_property
    def config(self) -> ml_collections.ConfigDict:
        """The configuration that it was trained with."""
        return ml_collections.ConfigDict(self.description["config"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """k names, in the order of the logits."""
        return tuple(self.description["class_names"])

    @property
    def resize(self) -> int:
        """Side of the square that images are resized to before the crop, in pixels."""
        return self.description["preprocessing"]["resize"]

    @functools.cached_property
    def model(self) -> QCS:
        """The network."""
        return create_model(self.config, len(self.class_names))
