"""Finds runs on disk and reads what they ended with."""

from __future__ import annotations

import dataclasses
import functools
import glob
import json
import os
import pathlib
from collections.abc import Iterator, Sequence

from qcs_jax.config import flatten
from qcs_jax.metrics.run_log import LOG_FILE, Scores, read_log
from qcs_jax.system.errors import UserError

CONFIG = "config.json"
_PARTS_OF_A_RUN = ("checkpoints", "tensorboard")


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's folder.

    Attributes:
      workdir: The folder.
      config: All fields by their dotted names, as `config.json` has them.
      scores: The run's numbers, or None before its first evaluation.
    """

    workdir: pathlib.Path
    config: dict[str, object]
    scores: Scores | None

    @property
    def epochs(self) -> tuple[int, int]:
        """Evaluated so far, and of the whole run."""
        done = 0 if self.scores is None else self.scores.last["epoch"]
        return done, self.config["train.epochs"]

    @property
    def finished(self) -> bool:
        done, whole = self.epochs
        return done == whole


def is_run(folder: pathlib.Path) -> bool:
    return (folder / CONFIG).is_file() and (folder / LOG_FILE).is_file()


def read_run(workdir: pathlib.Path) -> Run:
    """Reads `config.json` and `log.jsonl`.

    Raises:
      UserError: if `config.json` is not that of a run.
    """
    path = workdir / CONFIG
    try:
        config = flatten(json.loads(path.read_text(encoding="utf-8"))["config"])
        _ = config["train.epochs"], config["seed"], config["data.name"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path} is not that of a run: leave this folder out") from None
    return Run(workdir, config, Scores.of(read_log(workdir)))


def find_runs(arguments: Sequence[str]) -> list[Run]:
    """All runs that are named, or are in folders that are named.

    Args:
      arguments: Folders of runs, folders that contain some at any depth, or patterns
        of either such as `runs/*`.

    Raises:
      UserError: for what does not exist, or if there is no run.
    """
    found = {}
    for argument in arguments:
        for folder in _folders(argument):
            for workdir in _search(folder):
                found.setdefault(workdir.resolve(), workdir)
    if not found:
        raise UserError(
            f"no runs in {', '.join(arguments)}: give the --workdir of a run, which "
            f"has {CONFIG} and {LOG_FILE}, or a folder with some"
        )
    return _with_all_fields([read_run(workdir) for workdir in found.values()])


def _folders(argument: str) -> list[pathlib.Path]:
    if os.path.exists(argument):
        matches = [argument]
    else:
        matches = sorted(glob.glob(argument, recursive=True))
    if not matches:
        raise UserError(f"there is no {argument}: give the folder of a run")
    return [pathlib.Path(match) for match in matches if os.path.isdir(match)]


def _search(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    for path, subfolders, _ in os.walk(folder):
        subfolders[:] = sorted(set(subfolders) - set(_PARTS_OF_A_RUN))
        if is_run(pathlib.Path(path)):
            yield pathlib.Path(path)


def _with_all_fields(runs: list[Run]) -> list[Run]:
    if len({frozenset(run.config) for run in runs}) == 1:
        return runs
    return [dataclasses.replace(run, config=with_defaults(run.config)) for run in runs]


def with_defaults(config: dict[str, object]) -> dict[str, object]:
    """Adds fields that an older version did not have: it did as the default does."""
    return {**_defaults(), **config}


@functools.cache
def _defaults() -> dict[str, object]:
    from qcs_jax.config import base_config  # starts JAX, which is seldom needed

    return json.loads(json.dumps(flatten(base_config().to_dict())))
