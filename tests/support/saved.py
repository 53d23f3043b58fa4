"""Runs on disk, as training leaves them, and folders that only look so."""

import json
import pathlib

import numpy as np
import small

from qcs_jax.checkpoint import Trained
from qcs_jax.checkpoint.description import describe
from qcs_jax.checkpoint.saving import Checkpoints
from qcs_jax.config import base_config, create_model, flatten
from qcs_jax.evaluate.runs import LAST, read_scores

CLASS_NAMES = ("anger", "joy", "neutral")


def run(workdir, *seeds, size="tiny", resize=52, trained_on="toy", landmarks=None):
    """A run whose checkpoint of step i has random weights of seed i; its workdir.

    Without landmarks it is as earlier versions left it, which did not measure them.
    """
    c = base_config()
    c.model.size = size
    c.data.name = trained_on
    c.data.resize = resize
    model = create_model(c, len(CLASS_NAMES))
    description = describe(c, CLASS_NAMES, model.image_size)
    if landmarks:
        description["preprocessing"]["landmarks"] = landmarks
    with Checkpoints(workdir, keep=9, metric="accuracy") as checkpoints:
        for seed in seeds:
            variables = small.variables(model, seed)
            train = {"step": np.int32(seed), "opt_state": {}}
            checkpoints.save(seed, {**variables, "train": train}, description)
    return workdir


def evaluated(workdir: pathlib.Path, of: pathlib.Path | None = None, **told):
    """Leaves what an evaluation has told of a run's network, or of another one."""
    network = Trained.load(of or workdir, branch="base")
    measured = {"step": network.step, "fingerprint": {"network": network.digest}}
    (workdir / "metrics.json").write_text(json.dumps(measured | told))


def damage(folder: pathlib.Path):
    """Flips one bit of the largest file, where the arrays are."""
    largest = max(folder.rglob("*"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 0x10
    largest.write_bytes(data)


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


def untrained(workdir, c, test, held_out=(), started_from=None):
    """`config.json`, `log.jsonl` and the last checkpoint's folder.

    `test` and `held_out` are accuracies after epochs 1, 2, ... of such images.
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


def scored(workdir, step=None):
    """`metrics.json`, as far as it tells what was evaluated."""
    scores = read_scores(workdir)
    measured = {"step": step or scores[LAST]["step"], "scores": scores}
    (workdir / "metrics.json").write_text(json.dumps(measured))


def flat(c):
    return flatten(c.to_dict())
