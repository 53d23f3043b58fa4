"""Evaluates a checkpoint of a run on all of a split, and writes what it measured."""

from __future__ import annotations

import dataclasses
import hashlib
import json
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
from qcs_jax.evaluate.runs import METRICS_FILE, read_json, read_scores
from qcs_jax.input.sources import Source
from qcs_jax.predict.align import TEMPLATE
from qcs_jax.system import runtime
from qcs_jax.system.errors import UserError
from qcs_jax.system.files import write_json
from qcs_jax.train.logits import (
    check_same_everywhere,
    corrupted_accuracy,
    predict_split,
)
from qcs_jax.train.run import Run
from qcs_jax.train.step import make_eval_step, replicate

_READ_AT_ONCE = 1024


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
    runtime.enable_compilation_cache()
    people = group_file.read(grouped) if grouped else None
    trained = Trained.load(workdir, branch="base")
    run = Run.of(config, trained_on=trained.class_names)
    _check_same_input(workdir, run, trained)
    test, root = run.splits.test, pathlib.Path(workdir)
    digests = _fingerprint(trained, test)
    check_same_everywhere(digests)
    if root.resolve() != trained.workdir:  # it is one of its checkpoints, or a file
        root = trained.workdir
    folder = root / _subfolder(run, trained, named=trained.chosen == AS_NAMED)
    own = folder == root
    if not again:
        at_step = root / _subfolder(run, trained, named=True)
        for place in (folder, at_step) if own else (folder,):
            if before := _read_known(place, digests):
                return Evaluation(place, before, own, new=False)
        if own and (folder / METRICS_FILE).exists():
            folder = at_step
    ids = test.ids(range(len(test)))
    groupings = people.groupings(ids) if people else []
    logits, numbers = _measure(run, trained, corruptions)
    labels, class_names = test.labels, run.splits.class_names
    if people:
        of_all = logits, labels, class_names
        numbers["groups"] = groups.summary(groupings, *of_all, people.notes(ids))
    scores = read_scores(root) if own else {}
    held_out = _held_out(run, trained)
    measured = {
        "run": str(workdir),
        "step": trained.step,
        "chosen": trained.chosen,
        "dataset": test.name,
        "split": test.split,
        "fingerprint": digests,
        **numbers,
        "scores": scores or None,
        "notes": [*(held_out.notes if held_out else ()), *test.notes],
        "landmarks": trained.landmarks,
        "seed": trained.config.seed,
        "versions": runtime.versions(),
    }
    if not jax.process_index():  # every process has measured the same
        folder.mkdir(parents=True, exist_ok=True)
        answers = labels, probabilities(logits), class_names
        predictions.write(folder / PREDICTIONS_FILE, ids, *answers)
        write_json(folder / METRICS_FILE, measured)
    return Evaluation(folder, measured, own)


def _fingerprint(trained: Trained, test: Source) -> dict[str, str]:
    """SHA-256 digests of all that an accuracy depends on, but for the software.

    "images" is of names, labels, classes and encoded images in their order.
    """
    examples = range(len(test))
    described = [test.class_names, test.labels.tolist()]
    sha = hashlib.sha256(json.dumps(described).encode())
    for begin in examples[::_READ_AT_ONCE]:
        block = examples[begin : begin + _READ_AT_ONCE]
        for name, image in zip(test.ids(block), test.encoded(block), strict=True):
            sha.update(json.dumps([name, len(image)]).encode())
            sha.update(image)
    return {"network": trained.digest, "images": sha.hexdigest()}


def _read_known(folder: pathlib.Path, digests: dict[str, str]) -> dict | None:
    """What `metrics.json` of a folder says, if it is surely of the same fingerprint.

    None without `predictions.csv`, or in any doubt: other weights, images or versions,
    or a checkout with changes that are not committed.
    """
    measured, now = read_json(folder / METRICS_FILE), runtime.versions()
    if not (folder / PREDICTIONS_FILE).is_file():
        return None
    same = measured.get("fingerprint") == digests and measured.get("versions") == now
    return measured if same and not now["commit"].endswith("-dirty") else None


def _measure(run: Run, trained: Trained, corruptions: bool) -> tuple[np.ndarray, dict]:
    """Returns the logits of the test images, and the numbers about them."""
    test, held_out = run.splits.test, _held_out(run, trained)
    variables, step = replicate(trained.variables), make_eval_step(run.model)
    flipped = make_eval_step(run.model, mirrored=True)
    logits = predict_split(run, step, variables, test)
    mirrored = predict_split(run, flipped, variables, test)
    temperature = None
    if held_out is not None:
        of_held_out = predict_split(run, step, variables, held_out)
        temperature = results.fit_temperature(of_held_out, held_out.labels)
    classes = run.splits.class_names
    numbers = results.measure(classes, test.labels, logits, mirrored, temperature)
    if corruptions:
        template = np.asarray(trained.landmarks or TEMPLATE, np.float64)
        accuracy = corrupted_accuracy(run, step, variables, test, template)
        clean = numbers["metrics"]["accuracy"]
        numbers["robustness"] = results.robustness(accuracy, clean)
    return logits, numbers


def _held_out(run: Run, trained: Trained) -> Source | None:
    """The images that chose the epoch; None if they might have been trained on."""
    return None if _changed(Role.HELD_OUT, run, trained) else run.splits.held_out


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
