"""Folders that look as a run leaves them, without training."""

import json
import pathlib

from qcs_jax.config import base_config, flatten
from qcs_jax.evaluate.run_log import Scores, read_log


def config(**fields):
    """All fields by their dotted names; `model__name="dcs"` sets `model.name`."""
    c = base_config()
    c.data.name = "toy"
    c.train.epochs = 3
    c.update_from_flattened_dict({k.replace("__", "."): v for k, v in fields.items()})
    return c


def line(kind, epoch, accuracy):
    metrics = {"accuracy": accuracy, "mean_class_accuracy": accuracy / 2}
    return {"step": 10 * epoch, "kind": kind, "epoch": epoch, **metrics}


def write(workdir, c, test, held_out=(), started_from=None):
    """`config.json`, `log.jsonl` and the last checkpoint's folder.

    Args:
      workdir: Is created.
      c: See `config`.
      test: Accuracies on the test split after epochs 1, 2, ...
      held_out: The same on held-out images.
      started_from: What the run has recorded of that.
    """
    workdir = pathlib.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    description = {"config": c.to_dict(), "class_names": ["a", "b"]}
    description["started_from"] = started_from
    (workdir / "config.json").write_text(json.dumps(description))
    lines = [{"step": 1, "kind": "train", "loss": 2.0}]
    for kind, values in (("held_out", held_out), ("test", test)):
        lines += [line(kind, e, value) for e, value in enumerate(values, start=1)]
    lines.sort(key=lambda line: line["step"])
    (workdir / "log.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    if test:
        (workdir / "checkpoints" / str(10 * len(test))).mkdir(parents=True)
    return workdir


def evaluate(workdir, step=None):
    """`metrics.json`, as far as it tells what was evaluated."""
    scores = Scores.of(read_log(workdir))
    measured = {"step": step or scores.last["step"], "scores": scores.named()}
    (workdir / "metrics.json").write_text(json.dumps(measured))


def flat(c):
    return flatten(c.to_dict())
