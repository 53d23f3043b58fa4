"""Runs on disk: their log, and those that differ in nothing but the seed together."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import itertools
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from qcs_jax.config import FIELDS, Role, fields_with
from qcs_jax.config.validate import fields_of
from qcs_jax.evaluate import predictions
from qcs_jax.evaluate.predictions import PREDICTIONS_FILE, Predictions
from qcs_jax.system.errors import UserError

# What training writes into the workdir.
CONFIG_FILE = "config.json"
LOG_FILE = "log.jsonl"
METRICS_FILE = "metrics.json"  # by evaluation
METRIC = "accuracy"  # its largest value marks the best epoch

# How the three numbers are called wherever they are shown.
LAST = "last epoch"
BEST_ON_HELD_OUT = "best epoch on held-out"
BEST_ON_TEST = "best epoch on test (optimistic)"
NUMBERS = (LAST, BEST_ON_HELD_OUT, BEST_ON_TEST)

INDIFFERENT = frozenset(fields_with(Role.NEUTRAL))
_OF_A_VARIANT = sorted(FIELDS.keys() - INDIFFERENT - {"seed"})
_PARTS_OF_A_RUN = {"checkpoints", "tensorboard"}


def read_json(path: pathlib.Path) -> dict:
    """Returns the object in a file of a run; {} where it is missing or damaged."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_log(workdir: str | pathlib.Path) -> list[dict]:
    """Returns all lines of `workdir/log.jsonl`; what is no line of it is left out.

    Each has `step` and `kind`: "train" with what a step reported, or "test" or
    "held_out" with `epoch` and the metrics of that split.
    """
    path = pathlib.Path(workdir) / LOG_FILE
    text = path.read_text("utf-8", "replace") if path.exists() else ""
    lines = []
    for line in text.splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            lines.append(json.loads(line))
    return [x for x in lines if isinstance(x, dict) and {"step", "kind"} <= x.keys()]


def read_scores(workdir: str | pathlib.Path) -> dict[str, dict]:
    """Returns the test metrics of a run, `epoch` and `step`, at three epochs at most.

    `LAST`, of which nothing was chosen; `BEST_ON_HELD_OUT`, an honest choice, where
    images were held out; `BEST_ON_TEST`, optimistic, as most papers report. None of
    them if there was no evaluation yet.
    """
    lines = read_log(workdir)
    tested = {x["step"]: x for x in lines if x["kind"] == "test"}
    held_out = [x for x in lines if x["kind"] == "held_out" and x["step"] in tested]
    if not tested:
        return {}
    chosen = {BEST_ON_HELD_OUT: tested[_best(held_out)["step"]]} if held_out else {}
    return {LAST: tested[max(tested)], **chosen, BEST_ON_TEST: _best(tested.values())}


def _best(lines: Iterable[dict]) -> dict:
    """The line with the largest metric; of equals the last, as checkpoints are kept."""
    return max(lines, key=lambda line: (line[METRIC], line["step"]))


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """What a run left in its folder."""

    workdir: pathlib.Path
    config: dict[str, Any]  # all fields by their dotted names
    scores: dict[str, dict]  # of `read_scores`
    # Of its first weights; None for fresh ones, and in earlier versions.
    started_from: dict[str, Any] | None = None

    @property
    def epochs(self) -> tuple[int, int]:
        """Number of epochs evaluated so far, and of all."""
        done = self.scores[LAST]["epoch"] if self.scores else 0
        return done, self.config["train.epochs"]

    @property
    def finished(self) -> bool:
        """Whether all of its epochs were evaluated."""
        done, epochs = self.epochs
        return done == epochs

    @property
    def evaluated(self) -> bool:
        """Whether `qcs-jax evaluate` was about what the run ended with.

        It has written down the scores that it read in the log, which to the last digit
        are of these weights alone, and the step that was evaluated.
        """
        measured = read_json(self.workdir / METRICS_FILE)
        ends = {LAST, BEST_ON_HELD_OUT} & self.scores.keys()
        of_end = measured.get("step") in [self.scores[x]["step"] for x in ends]
        return of_end and measured.get("scores") == self.scores

    def predictions(self) -> Predictions | None:
        """Reads the answers to the test images; None before the evaluation."""
        path = self.workdir / PREDICTIONS_FILE
        return predictions.read(path) if self.evaluated and path.exists() else None


def is_run(folder: pathlib.Path) -> bool:
    """Whether a folder is the workdir of a run."""
    return (folder / CONFIG_FILE).is_file() and (folder / LOG_FILE).is_file()


def read_run(workdir: pathlib.Path) -> RunFolder:
    """Reads `config.json` and `log.jsonl`; raises UserError for another version's."""
    path = workdir / CONFIG_FILE
    description = read_json(path)
    try:
        config = fields_of(path, description)
    except UserError as error:
        raise UserError(f"{error}. Or leave this folder out") from error
    start = description.get("started_from")
    return RunFolder(workdir, config, read_scores(workdir), start)


def find_runs(arguments: Sequence[str]) -> list[RunFolder]:
    """Reads all runs that are named, or are in folders that are named, at any depth.

    Patterns such as `runs/*` will do. Raises UserError for what does not exist, or if
    there is no run.
    """
    workdirs: dict[pathlib.Path, pathlib.Path] = {}
    for argument in arguments:
        folders = [argument]
        if not os.path.exists(argument):
            folders = sorted(glob.glob(argument, recursive=True))
        if not folders:
            raise UserError(f"there is no {argument}: give the folder of a run")
        for workdir in itertools.chain.from_iterable(map(_search, folders)):
            workdirs.setdefault(workdir.resolve(), workdir)
    if not workdirs:
        raise UserError(
            f"no runs in {', '.join(arguments)}: give the --workdir of a run, which "
            f"has {CONFIG_FILE} and {LOG_FILE}, or a folder with some"
        )
    return [read_run(workdir) for workdir in workdirs.values()]


def _search(folder: str) -> Iterator[pathlib.Path]:
    """The runs at any depth; none where it is a file."""
    for path, subfolders, _ in os.walk(folder):
        subfolders[:] = sorted(set(subfolders) - _PARTS_OF_A_RUN)
        if is_run(pathlib.Path(path)):
            yield pathlib.Path(path)


@dataclasses.dataclass(frozen=True)
class Variant:
    """Runs on one data set that differ in nothing but the seed."""

    label: str  # what tells it from other variants on the data set
    runs: tuple[RunFolder, ...]  # at least one, with any seeds, finished or not
    setting: str = ""  # value of the field that a sweep varies, as text

    @property
    def dataset(self) -> str:
        """The runs' `data.name`."""
        return self.runs[0].config["data.name"]

    @property
    def counted(self) -> dict[int, RunFolder]:
        """The finished runs, one of every seed, ordered by seed."""
        by_seed: dict[int, RunFolder] = {}
        for run in self.runs:
            if run.finished:
                by_seed.setdefault(run.config["seed"], run)
        return dict(sorted(by_seed.items()))

    def notes(self) -> list[str]:
        """Returns what was left out of the averages, and why."""
        counted, notes = self.counted, []
        for run in self.runs:
            seed, (done, epochs) = run.config["seed"], run.epochs
            if not run.finished:
                notes.append(
                    f"not finished, left out: {run.workdir} ({done} of {epochs} epochs)"
                )
            elif run is not counted[seed]:
                notes.append(
                    f"seed {seed} again, not independent, left out: {run.workdir} "
                    f"(counted: {counted[seed].workdir})"
                )
        return notes


def variants_of(runs: Sequence[RunFolder]) -> list[Variant]:
    """Groups by data set and variant; ordered by data set, network and label."""
    variants = []
    ordered = sorted(runs, key=_network)
    for (_, network), group in itertools.groupby(ordered, _network):
        members = list(group)
        texts = [[_text(x, run.config[x]) for x in _OF_A_VARIANT] for run in members]
        different = [len(set(values)) > 1 for values in zip(*texts, strict=True)]
        by_label: dict[str, list[RunFolder]] = {}
        for run, values in zip(members, texts, strict=True):
            label = ", ".join([network, *itertools.compress(values, different)])
            by_label.setdefault(label, []).append(run)
        variants += [Variant(x, tuple(by_label[x])) for x in sorted(by_label)]
    return variants


def _network(run: RunFolder) -> tuple[str, str]:
    return run.config["data.name"], run.config["model.name"]


def _text(field: str, value: Any) -> str:
    """Tells any two values apart: runs are grouped by it."""
    if isinstance(value, float):
        value = repr(value).removesuffix(".0")
    return f"{field.rpartition('.')[2]}={value if value != '' else repr(value)}"
