"""Evaluates a checkpoint of a run on a whole split, and writes what it found."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import re

import jax
import ml_collections

from qcs_jax import checkpoint
from qcs_jax.checkpoint.description import check_same_network, versions
from qcs_jax.metrics import predictions
from qcs_jax.metrics.results import FILE, Results, table
from qcs_jax.metrics.run_log import Scores, read_log
from qcs_jax.system import compilation_cache
from qcs_jax.system.errors import UserError
from qcs_jax.train.run import Run
from qcs_jax.train.step import make_eval_step

# Fields that say which images a run holds out of its training split.
_HOLDS_OUT = ("name", "train_split", "val_fraction")
# And which ones it is tested on.
_TESTS_ON = ("name", "test_split", "test_list", "label_map")


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
        lines.append(f"  written to {self.folder / FILE} and {predictions.FILE}")
        return "\n".join(lines)


def evaluate_run(config: ml_collections.ConfigDict, workdir: str) -> Evaluation:
    """Evaluates the checkpoint that held-out images chose, or else the last one.

    Writes `metrics.json` and `predictions.csv` into the workdir; into a folder of it
    where the run is tested on something else than its own test split, or one of its
    checkpoints was named.

    Args:
      config: Of the run; may name another data set, see `data.label_map`.
      workdir: Of the run, or one of its checkpoints, which is evaluated then.

    Raises:
      UserError: if there is no checkpoint, or it is of another network.
    """
    compilation_cache.enable()
    root = checkpoint.run_folder(workdir)
    if root == pathlib.Path(workdir).resolve():
        root = pathlib.Path(workdir)  # as the user calls it
    step, chosen = checkpoint.choose_step(workdir)
    variables, found, _ = checkpoint.load_variables(workdir, step=step, branch="base")
    run = Run(config, trained_on=found["class_names"])
    fix = (
        "Evaluate with the configuration that it was trained with; to test on a data "
        "set of other classes, set data.label_map."
    )
    check_same_network(workdir, found, run.description, fix=fix)
    _check_same_images(workdir, config, found)
    results = _measure(run, variables, _same_held_out(run, found))
    folder = _folder(root, run, found, step if chosen == checkpoint.AS_NAMED else None)
    folder.mkdir(exist_ok=True)
    own = folder == root
    scores = Scores.of(read_log(root)) if own else None
    measured = {
        "run": str(workdir),
        "step": step,
        "chosen": chosen,
        "dataset": run.test_source.name,
        "split": run.test_source.split,
        **results.to_json(),
        "scores": scores.named() if scores else None,
        "notes": run.notes,
        "seed": found["config"]["seed"],
        "versions": versions(),
    }
    _write(folder, measured, run, results)
    return Evaluation(folder, measured, own)


def _same_held_out(run: Run, found: dict) -> bool:
    """Whether what this configuration holds out was held out in training, too."""
    ours, theirs = run.config.data, found["config"]["data"]
    return (
        run.config.seed == found["config"]["seed"]
        and ours.val_fraction > 0
        and all(ours[field] == theirs.get(field) for field in _HOLDS_OUT)
    )


def _measure(run: Run, variables: dict, calibrate: bool) -> Results:
    test, held_out = run.test_source, None
    eval_step = make_eval_step(run.model)
    if calibrate:
        source = run.held_out_source
        held_out = run.predict(eval_step, variables, source), source.labels
    return Results.of(
        run.class_names,
        test.labels,
        run.predict(eval_step, variables, test),
        run.predict(make_eval_step(run.model, mirrored=True), variables, test),
        held_out,
    )


def _check_same_images(
    workdir: object, config: ml_collections.ConfigDict, found: dict
) -> None:
    """Raises UserError if the network would see other images than in training."""
    ours = {"data.resize": config.data.resize, "dtype": config.dtype}
    theirs = {
        "data.resize": found["preprocessing"]["resize"],
        "dtype": found["config"]["dtype"],
    }
    for field, value in theirs.items():
        if ours[field] != value:
            raise UserError(
                f"{workdir} was trained with {field}={value}, not {ours[field]}: give "
                f"--config.{field}={value}"
            )


def _folder(
    root: pathlib.Path, run: Run, found: dict, named_step: int | None
) -> pathlib.Path:
    """Where results go: the workdir has those of the run itself, and no others."""
    data, theirs = run.config.data, found["config"]["data"]
    default = {"test_list": "", "label_map": ""}  # earlier versions lack these two
    own = all(
        data[field] == theirs.get(field, default.get(field)) for field in _TESTS_ON
    )
    parts = []
    if named_step is not None:
        parts += ["at", str(named_step)]
    if not own:
        parts += ["on", run.test_source.name, run.test_source.split]
        special = data.test_list + data.label_map
        if special:
            parts += [pathlib.Path(data.test_list).stem] if data.test_list else []
            parts.append(hashlib.sha256(special.encode()).hexdigest()[:6])
    return root / re.sub(r"[^\w.-]+", "_", "_".join(parts)) if parts else root


def _write(folder: pathlib.Path, measured: dict, run: Run, results: Results) -> None:
    if jax.process_index():  # every process has measured the same
        return
    source = run.test_source
    predictions.write(
        folder / predictions.FILE,
        source.ids(range(len(source))),
        results.labels,
        results.probabilities,
        results.class_names,
    )
    unfinished = folder / f".{FILE}.{os.getpid()}"
    unfinished.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    os.replace(unfinished, folder / FILE)
