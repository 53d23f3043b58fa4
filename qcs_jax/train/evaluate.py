"""Evaluates a checkpoint of a run on a whole split, and writes what it found."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import re
from typing import Any

import jax
import ml_collections
import numpy as np

from qcs_jax.checkpoint import AS_NAMED, Trained
from qcs_jax.checkpoint.description import check_same_network, differences
from qcs_jax.config import Role, fields_with
from qcs_jax.evaluate import group_file, groups, predictions, results
from qcs_jax.evaluate.counts import probabilities
from qcs_jax.evaluate.predictions import PREDICTIONS_FILE
from qcs_jax.evaluate.run_log import METRICS_FILE, Scores, read_log
from qcs_jax.input.sources import Source
from qcs_jax.predict.align import TEMPLATE
from qcs_jax.system import compilation_cache
from qcs_jax.system.errors import UserError
from qcs_jax.system.files import write_json
from qcs_jax.system.versions import versions
from qcs_jax.train import corrupted
from qcs_jax.train.fingerprint import check_same_everywhere, fingerprint, known
from qcs_jax.train.logits import predict_split
from qcs_jax.train.run import Run
from qcs_jax.train.step import make_eval_step, replicate


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One evaluation that has been written.

    Attributes:
      folder: Where `metrics.json` and `predictions.csv` are.
      measured: What `metrics.json` says.
      own: Whether it was on the test split of the data set that the run trained on.
      new: Whether it was made now.
    """

    folder: pathlib.Path
    measured: dict
    own: bool
    new: bool = True

    def __str__(self) -> str:
        m = self.measured
        lines = [f"note: {note}" for note in m["notes"]]
        lines.append(
            f"{m['run']}, step {m['step']} ({m['chosen']}), on {m['examples']} images "
            f"of split {m['split']!r} of {m['dataset']}:"
        )
        lines.append(results.table(m))
        if m.get("robustness"):
            lines.append(results.robustness_table(m["robustness"]))
        if m.get("groups"):
            lines += [f"  note: {note}" for note in m["groups"]["notes"]]
            lines.append(groups.table(m["groups"]))
        written = f"  written to {self.folder / METRICS_FILE} and {PREDICTIONS_FILE}"
        return "\n".join([*lines, written])


def evaluate_run(
    config: ml_collections.ConfigDict,
    workdir: str | os.PathLike,
    *,
    corruptions: bool = False,
    grouped: str | os.PathLike = "",
    again: bool = True,
) -> Evaluation:
    """Evaluates the checkpoint that held-out images chose, or else the last one.

    Writes `metrics.json` and `predictions.csv` into the workdir; into a folder of it
    where the run is tested on something else than its own test split, or one of its
    checkpoints was named.

    Args:
      config: The run's configuration; may name another data set, see `data.label_map`.
      workdir: The run's workdir, or one of its checkpoints, which is evaluated then. Or
        a file of weights, or the name of a network that comes with the package: what is
        measured goes into a folder of `runs/NAME`.
      corruptions: Measure the accuracy on worse images, too, which takes 50 times as
        long; see `images.corruptions`.
      grouped: A CSV file of groups of people, which are measured each; see
        `evaluate.group_file`.
      again: Evaluate whatever there is. Without it, what was written is returned if it
        is surely of the same weights and images; and where that is not sure of the
        run's own evaluation, of which there may be a page, it is left as it is, and the
        new one goes where one of a named checkpoint does.

    Raises:
      UserError: if there is no checkpoint, or it is of another network; if `grouped`
        is no such file, or about other images.
    """
    compilation_cache.enable()
    told = group_file.read(grouped) if grouped else None
    trained = Trained.load(workdir, branch="base")
    run = Run.of(config, trained_on=trained.class_names)
    _check_same_input(workdir, run, trained)
    test, root = run.splits.test, pathlib.Path(workdir)
    ids = test.ids(range(len(test)))
    groupings = told.groupings(ids) if told else []
    if root.resolve() != trained.workdir:  # one of its checkpoints was given, or a file
        root = trained.workdir
    folder = root / _subfolder(run, trained, named=trained.chosen == AS_NAMED)
    own = folder == root
    found = fingerprint(trained, test)
    check_same_everywhere(found)
    if not again:
        places = [folder, root / _subfolder(run, trained, named=True)][: 1 + own]
        for place in places:
            if before := known(place, found):
                return Evaluation(place, before, own, new=False)
        if (folder / METRICS_FILE).exists():
            folder = places[-1]
    held_out = None if _changed(Role.HELD_OUT, run, trained) else run.splits.held_out
    variables = replicate(trained.variables)
    logits, mirrored_logits, temperature = _measure(run, variables, held_out)
    class_names = run.splits.class_names
    scores = Scores.of(read_log(root)) if own else None
    measured = {
        "run": str(workdir),
        "step": trained.step,
        "chosen": trained.chosen,
        "dataset": test.name,
        "split": test.split,
        "fingerprint": found,
        **results.measure(
            class_names, test.labels, logits, mirrored_logits, temperature
        ),
        "scores": scores.named() if scores else None,
        "notes": [*(held_out.notes if held_out else ()), *test.notes],
        "landmarks": trained.landmarks,
        "seed": trained.config.seed,
        "versions": versions(),
    }
    if corruptions:
        template = np.asarray(trained.landmarks or TEMPLATE, np.float64)
        accuracy = corrupted.measure(
            run, make_eval_step(run.model), variables, test, template
        )
        clean = measured["metrics"]["accuracy"]
        measured["robustness"] = results.robustness(accuracy, clean)
    if told:
        measured["groups"] = groups.summary(
            groupings, logits, test.labels, class_names, told.notes(ids)
        )
    if not jax.process_index():  # every process has measured the same
        folder.mkdir(parents=True, exist_ok=True)
        predictions.write(
            folder / PREDICTIONS_FILE,
            ids,
            test.labels,
            probabilities(logits),
            class_names,
        )
        write_json(folder / METRICS_FILE, measured)
    return Evaluation(folder, measured, own)


def _measure(run: Run, variables: Any, held_out: Source | None) -> tuple:
    """Logits of test images and of their mirror images; temperature, if held out."""
    test = run.splits.test
    eval_step = make_eval_step(run.model)
    mirrored_step = make_eval_step(run.model, mirrored=True)
    temperature = None
    if held_out is not None:
        logits = predict_split(run, eval_step, variables, held_out)
        temperature = results.fit_temperature(logits, held_out.labels)
    logits = predict_split(run, eval_step, variables, test)
    return logits, predict_split(run, mirrored_step, variables, test), temperature


def _changed(role: Role, run: Run, trained: Trained) -> list[tuple[str, Any, Any]]:
    """Returns the `differences` of the fields with a role from those trained with."""
    return differences(trained.description, run.description, fields_with(role))


def _check_same_input(workdir: object, run: Run, trained: Trained) -> None:
    """Raises UserError for another network, or where it would see other images."""
    for field, there, here in _changed(Role.INPUT, run, trained):
        raise UserError(
            f"{workdir} was trained with {field}={there}, not {here}: give "
            f"--config.{field}={there}"
        )
    fix = (
        "Evaluate with the configuration that it was trained with; to test on a data "
        "set of other classes, set data.label_map."
    )
    check_same_network(workdir, trained.description, run.description, fix=fix)


def _subfolder(run: Run, trained: Trained, *, named: bool) -> str:
    """Where results go: the workdir has those of the run itself, and no others."""
    data, test, parts = run.config.data, run.splits.test, []
    if named:
        parts += ["at", str(trained.step)]
    if _changed(Role.TESTED, run, trained):
        parts += ["on", test.name, test.split]
        if data.test_list:
            parts.append(pathlib.Path(data.test_list).stem)
        if special := data.test_list + data.label_map:
            parts.append(hashlib.sha256(special.encode()).hexdigest()[:6])
    return re.sub(r"[^\w.-]+", "_", "_".join(parts))
