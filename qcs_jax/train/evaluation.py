"""Evaluates a checkpoint of a run on a whole split, and writes what it found."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re

import jax
import ml_collections

from qcs_jax import about, checkpoint, compilation_cache
from qcs_jax.measure import predictions
from qcs_jax.measure.results import Results, table
from qcs_jax.run_log import BEST_ON_HELD_OUT, LAST, Scores, read_log
from qcs_jax.train.run import Run
from qcs_jax.train.step import make_eval_step

METRICS = "metrics.json"

# Fields that say which images a run holds out of its training split.
_HOLDS_OUT = ("name", "train_split", "val_fraction")


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
        lines.append(f"  written to {self.folder / METRICS} and {predictions.FILE}")
        return "\n".join(lines)


def evaluate_run(config: ml_collections.ConfigDict, workdir: str) -> Evaluation:
    """Evaluates the checkpoint that held-out images chose, or else the last one.

    Writes `metrics.json` and `predictions.csv` into the workdir; into a folder of it
    where the run is tested on something else than its own test split.

    Args:
      config: Of the run; may name another data set, see `data.label_map`.
      workdir: Of the run, or one of its checkpoints, which is evaluated then.

    Raises:
      UserError: if there is no checkpoint, or it is of another network.
    """
    compilation_cache.enable()
    root = checkpoint.run_folder(workdir)
    step, chosen = _choose(root, pathlib.Path(workdir))
    variables, found, step = checkpoint.load_variables(
        workdir, step=step, branch="base"
    )
    run = Run(config, trained_on=found["class_names"])
    fix = (
        "Evaluate with the configuration that it was trained with; to test on a data "
        "set of other classes, set data.label_map."
    )
    about.check_same_network(workdir, found, run.description, fix=fix)
    results = _measure(run, variables, _same_held_out(run, found))
    own, name = _tested_on(run, found)
    folder = root if own else root / name
    folder.mkdir(exist_ok=True)
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
        "versions": about.versions(),
    }
    _write(folder, measured, run, results)
    return Evaluation(folder, measured, own)


def _choose(root: pathlib.Path, path: pathlib.Path) -> tuple[int | None, str]:
    """The step to read, None for the one that the path means, and why that one."""
    if path.name.isdigit():
        return None, "as named"
    scores = Scores.of(read_log(root))
    if scores and scores.best_on_held_out:
        step = scores.best_on_held_out["step"]
        if (root / checkpoint.FOLDER / str(step)).is_dir():
            return step, BEST_ON_HELD_OUT
    return None, LAST if scores else "newest"


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


def _tested_on(run: Run, found: dict) -> tuple[bool, str]:
    """Whether that is the run's own test split, and a name for a folder."""
    data, theirs = run.config.data, found["config"]["data"]
    own = not data.test_list and not data.label_map
    own = own and all(data[f] == theirs.get(f) for f in ("name", "test_split"))
    parts = [run.test_source.name, run.test_source.split]
    parts += [pathlib.Path(data.test_list).stem] if data.test_list else []
    return own, "on_" + re.sub(r"[^\w.-]+", "_", "_".join(parts))


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
    unfinished = folder / f".{METRICS}.{os.getpid()}"
    unfinished.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    os.replace(unfinished, folder / METRICS)
