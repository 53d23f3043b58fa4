"""Evaluates a checkpoint of a run on a whole split, and writes what it found."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Callable, Iterable
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.experimental import multihost_utils

from qcs_jax.checkpoint import AS_NAMED, Trained, choose_step
from qcs_jax.checkpoint.description import check_same_network, versions
from qcs_jax.config import Role, fields_with, flatten
from qcs_jax.input.pipeline import eval_batches
from qcs_jax.input.sources import Source
from qcs_jax.metrics import predictions
from qcs_jax.metrics.predictions import PREDICTIONS_FILE
from qcs_jax.metrics.results import METRICS_FILE, Results, table
from qcs_jax.metrics.run_log import Scores, read_log
from qcs_jax.system import compilation_cache
from qcs_jax.system.errors import UserError
from qcs_jax.system.files import write_json
from qcs_jax.train.run import Run
from qcs_jax.train.step import make_eval_step, replicate

EvalStep = Callable[[dict, Any], jax.Array]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One evaluation that has been written.

    Attributes:
      folder: Where `metrics.json` and `predictions.csv` are.
      measured: What `metrics.json` says.
      own: Whether it was on the test split of the data set that the run trained on.
    """

    folder: pathlib.Path
    measured: dict
    own: bool

    def __str__(self) -> str:
        m = self.measured
        lines = [f"note: {note}" for note in m["notes"]]
        lines.append(
            f"{m['run']}, step {m['step']} ({m['chosen']}), on {m['examples']} images "
            f"of split {m['split']!r} of {m['dataset']}:"
        )
        lines.append(table(m))
        lines.append(
            f"  written to {self.folder / METRICS_FILE} and {PREDICTIONS_FILE}"
        )
        return "\n".join(lines)


def evaluate_run(
    config: ml_collections.ConfigDict, workdir: str | os.PathLike
) -> Evaluation:
    """Evaluates the checkpoint that held-out images chose, or else the last one.

    Writes `metrics.json` and `predictions.csv` into the workdir; into a folder of it
    where the run is tested on something else than its own test split, or one of its
    checkpoints was named.

    Args:
      config: The run's configuration; may name another data set, see `data.label_map`.
      workdir: The run's workdir, or one of its checkpoints, which is evaluated then.

    Raises:
      UserError: if there is no checkpoint, or it is of another network.
    """
    compilation_cache.enable()
    step, chosen = choose_step(workdir)
    trained = Trained.load(workdir, step=step, branch="base")
    run = Run.of(config, trained_on=trained.class_names)
    _check_same_input(workdir, run, trained)
    held_out = run.splits.held_out if _same(Role.HELD_OUT, run, trained) else None
    results = _measure(run, trained.variables, held_out)
    test, root = run.splits.test, _as_called(trained.workdir, workdir)
    folder = root / _subfolder(run, trained, named=chosen == AS_NAMED)
    own = folder == root
    scores = Scores.of(read_log(root)) if own else None
    measured = {
        "run": str(workdir),
        "step": step,
        "chosen": chosen,
        "dataset": test.name,
        "split": test.split,
        **results.to_json(),
        "scores": scores.named() if scores else None,
        "notes": [*(held_out.notes if held_out else ()), *test.notes],
        "seed": trained.config.seed,
        "versions": versions(),
    }
    if not jax.process_index():  # every process has measured the same
        folder.mkdir(exist_ok=True)
        predictions.write(
            folder / PREDICTIONS_FILE,
            test.ids(range(len(test))),
            results.labels,
            results.probabilities,
            results.class_names,
        )
        write_json(folder / METRICS_FILE, measured)
    return Evaluation(folder, measured, own)


def predict_split(
    run: Run, eval_step: EvalStep, variables: Any, source: Source
) -> np.ndarray:
    """Logits `[N, k]` of the base branch for every image of a split.

    Args:
      run: Says how images are batched.
      eval_step: From `make_eval_step`.
      variables: Parameters and running statistics.
      source: The split.
    """
    batches = eval_batches(
        source,
        batch_size=run.config.train.eval_batch_size,
        side=run.config.data.resize,
        topology=run.topology,
    )
    return logits_of(eval_step, replicate(variables), batches, len(source))


def logits_of(
    eval_step: EvalStep,
    variables: dict,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    examples: int,
) -> np.ndarray:
    """Logits of a split, on all hosts.

    Args:
      eval_step: From `make_eval_step`.
      variables: Parameters and running statistics.
      batches: From `eval_batches`; what fills the last batch up is left out.
      examples: Number N of examples in the split.

    Returns:
      float32 `[N, k]`, in the order of the split.
    """
    done: list[tuple[np.ndarray, np.ndarray]] = []
    pending: tuple[jax.Array, np.ndarray] | None = None
    for images, numbers in batches:
        found = eval_step(variables, images)
        if pending is not None:  # fetched while the devices work on the next batch
            done.append(_fetched(*pending))
        pending = found, numbers
    if pending is not None:
        done.append(_fetched(*pending))
    rows = np.concatenate([rows for _, rows in done])
    logits = np.zeros((examples, rows.shape[1]), np.float32)
    logits[np.concatenate([numbers for numbers, _ in done])] = rows
    if jax.process_count() > 1:  # each host has filled in its own rows
        logits = np.asarray(multihost_utils.process_allgather(logits)).sum(axis=0)
    return logits


def _fetched(logits: jax.Array, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = np.asarray(logits).reshape(len(numbers), -1)
    return numbers[numbers >= 0], rows[numbers >= 0]


def _measure(run: Run, variables: dict, held_out: Source | None) -> Results:
    test = run.splits.test
    eval_step = make_eval_step(run.model)
    mirrored_step = make_eval_step(run.model, mirrored=True)
    calibration = None
    if held_out is not None:
        logits = predict_split(run, eval_step, variables, held_out)
        calibration = logits, held_out.labels
    return Results.of(
        run.splits.class_names,
        test.labels,
        predict_split(run, eval_step, variables, test),
        predict_split(run, mirrored_step, variables, test),
        calibration,
    )


def _same(role: Role, run: Run, trained: Trained) -> bool:
    """Whether all fields with a role have the values that the network trained with."""
    ours, theirs = flatten(run.config), flatten(trained.config)
    return all(ours[field] == theirs.get(field) for field in fields_with(role))


def _check_same_input(workdir: object, run: Run, trained: Trained) -> None:
    """Raises UserError for another network, or where it would see other images."""
    ours, theirs = flatten(run.config), flatten(trained.config)
    for field in fields_with(Role.INPUT):
        if ours[field] != theirs[field]:
            raise UserError(
                f"{workdir} was trained with {field}={theirs[field]}, not "
                f"{ours[field]}: give --config.{field}={theirs[field]}"
            )
    fix = (
        "Evaluate with the configuration that it was trained with; to test on a data "
        "set of other classes, set data.label_map."
    )
    check_same_network(workdir, trained.description, run.description, fix=fix)


def _as_called(root: pathlib.Path, workdir: str | os.PathLike) -> pathlib.Path:
    """A run's folder, by the name that the user gave it if that is what was given."""
    given = pathlib.Path(workdir)
    return given if given.resolve() == root else root


def _subfolder(run: Run, trained: Trained, *, named: bool) -> str:
    """Where results go: the workdir has those of the run itself, and no others."""
    data, test, parts = run.config.data, run.splits.test, []
    if named:
        parts += ["at", str(trained.step)]
    if not _same(Role.TESTED, run, trained):
        parts += ["on", test.name, test.split]
        if data.test_list:
            parts.append(pathlib.Path(data.test_list).stem)
        if special := data.test_list + data.label_map:
            parts.append(hashlib.sha256(special.encode()).hexdigest()[:6])
    return re.sub(r"[^\w.-]+", "_", "_".join(parts))
