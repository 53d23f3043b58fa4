"""Behaves as `qcs_jax.main` does towards whoever starts it, in no time.

    python fake_main.py WORLD --config=... --workdir=... [--mode=eval]

WORLD has `configs.json` (workdir -> whole configuration), `behaviour.json` (ROW/SEED ->
what goes wrong) and gets `calls.txt`.
"""

import json
import os
import pathlib
import signal
import sys
import time

EPOCHS = 3


def main():
    world = pathlib.Path(sys.argv[1])
    arguments = dict(text.lstrip("-").split("=", 1) for text in sys.argv[2:])
    workdir = pathlib.Path(arguments["workdir"])
    run = f"{workdir.parent.name}/{workdir.name}"
    mode = arguments.get("mode", "train")
    with (world / "calls.txt").open("a") as file:
        file.write(f"{mode} {run}\n")
    behaviour = json.loads((world / "behaviour.json").read_text()).get(run, "")
    if mode == "train":
        config = json.loads((world / "configs.json").read_text())[str(workdir)]
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / "config.json").write_text(json.dumps({"config": config}))
        (workdir / "log.jsonl").write_text("")
    if behaviour == f"{mode} fails":
        sys.exit(3)
    if behaviour == f"{mode} is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "eval":
        evaluate(workdir, 10 if behaviour == "eval finds damage" else 0)
        return
    if behaviour in ("is asked to stop", "does not stop"):
        save(workdir, 1)
        ask_to_stop(workdir, obey=behaviour == "is asked to stop")
    for epoch in range(1, EPOCHS + 1):
        save(workdir, epoch)


def save(workdir, epoch):
    step, value = 10 * epoch, epoch / 10
    line = {"step": step, "kind": "test", "epoch": epoch}
    line |= {"accuracy": value, "mean_class_accuracy": value}
    with (workdir / "log.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    (workdir / "checkpoints" / str(step)).mkdir(parents=True, exist_ok=True)


def evaluate(workdir, earlier):
    """No epoch was better than the last one, and none was held out for."""
    last = json.loads((workdir / "log.jsonl").read_text().splitlines()[-1])
    scores = {"last epoch": last, "best epoch on test (optimistic)": last}
    measured = {"step": last["step"] - earlier, "scores": scores}
    (workdir / "metrics.json").write_text(json.dumps(measured))


def ask_to_stop(workdir, *, obey):
    """Presses Ctrl-C, as it were; again when it is told itself and does not obey."""

    def stop(signum, frame):
        if not obey:
            os.kill(os.getppid(), signal.SIGINT)
            return
        in_own_group = os.getpgrp() == os.getpid()
        (workdir / "saved").write_text(f"signal {signum}, own group: {in_own_group}")
        sys.exit(128 + signum)

    signal.signal(signal.SIGTERM, stop)
    os.kill(os.getppid(), signal.SIGINT)
    time.sleep(60)


main()
