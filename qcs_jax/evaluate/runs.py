"""Finds runs on disk and reads what they ended with."""

from __future__ import annotations

import dataclasses
import glob
import json
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from qcs_jax.config import written
from qcs_jax.evaluate import predictions
from qcs_jax.evaluate.predictions import PREDICTIONS_FILE, Predictions
from qcs_jax.evaluate.run_log import (
    CONFIG_FILE,
    LOG_FILE,
    METRICS_FILE,
    Scores,
    read_log,
)
from qcs_jax.system.errors import UserError

_PARTS_OF_A_RUN = {"checkpoints", "tensorboard"}


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's folder.

    Attributes:
      workdir: The folder.
      config: All fields by their dotted names, as `config.json` has them.
      scores: The run's numbers, or None before its first evaluation.
      started_from: What it says of the weights that it started from, see
        `published.find`; None for fresh ones, and in earlier versions.
    """

    workdir: pathlib.Path
    config: dict[str, Any]
    scores: Scores | None
    started_from: dict[str, Any] | None = None

    @property
    def epochs(self) -> tuple[int, int]:
        """Number of epochs evaluated so far, and of the whole run."""
        done = 0 if self.scores is None else self.scores.last["epoch"]
        return done, self.config["train.epochs"]

    @property
    def finished(self) -> bool:
        """Whether all of its epochs were evaluated."""
        done, whole = self.epochs
        return done == whole

    @property
    def evaluated(self) -> bool:
        """Whether `--mode=eval` was about what the run ended with.

        It has written down the scores that it found in the log, which to the last digit
        are of these weights alone, and the step that was evaluated.
        """
        if self.scores is None:
            return False
        path, scores = self.workdir / METRICS_FILE, self.scores
        try:
            measured = json.loads(path.read_text(encoding="utf-8"))
            step, noted = measured["step"], measured["scores"]
        except (OSError, ValueError, KeyError, TypeError):
            return False
        ended = [x["step"] for x in (scores.last, scores.best_on_held_out) if x]
        return step in ended and noted == scores.named()

    def predictions(self) -> Predictions | None:
        """Reads the answers to the test images; None before the evaluation."""
        path = self.workdir / PREDICTIONS_FILE
        if not (self.evaluated and path.exists()):
            return None
        return predictions.read(path)


def is_run(folder: pathlib.Path) -> bool:
    """Whether a folder is the workdir of a run."""
    return (folder / CONFIG_FILE).is_file() and (folder / LOG_FILE).is_file()


def read_run(workdir: pathlib.Path) -> Run:
    """Reads `config.json` and `log.jsonl`.

    Raises:
      UserError: if `config.json` is not that of a run, or of another version.
    """
    path = workdir / CONFIG_FILE
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        description = None
    try:
        config = written.fields_of(path, description)
    except UserError as error:
        raise UserError(f"{error}. Or leave this folder out") from error
    scores = Scores.of(read_log(workdir))
    return Run(workdir, config, scores, description.get("started_from"))


def find_runs(arguments: Sequence[str]) -> list[Run]:
    """Reads all runs that are named, or are in folders that are named.

    Args:
      arguments: Folders of runs, folders that contain some at any depth, or patterns
        of either such as `runs/*`.

    Raises:
      UserError: for what does not exist, or if there is no run.
    """
    found: dict[pathlib.Path, pathlib.Path] = {}
    for argument in arguments:
        for folder in _folders(argument):
            for workdir in _search(folder):
                found.setdefault(workdir.resolve(), workdir)
    if not found:
        raise UserError(
            f"no runs in {', '.join(arguments)}: give the --workdir of a run, which "
            f"has {CONFIG_FILE} and {LOG_FILE}, or a folder with some"
        )
    return [read_run(workdir) for workdir in found.values()]


def _folders(argument: str) -> list[pathlib.Path]:
    matches = [argument]
    if not os.path.exists(argument):
        matches = sorted(glob.glob(argument, recursive=True))
    if not matches:
        raise UserError(f"there is no {argument}: give the folder of a run")
    return [pathlib.Path(match) for match in matches if os.path.isdir(match)]


def _search(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    for path, subfolders, _ in os.walk(folder):
        subfolders[:] = sorted(set(subfolders) - _PARTS_OF_A_RUN)
        if is_run(pathlib.Path(path)):
            yield pathlib.Path(path)
