"""The log of a run, and the three numbers that it ended with."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Iterable

# What training writes into the workdir.
CONFIG_FILE = "config.json"
LOG_FILE = "log.jsonl"
METRICS_FILE = "metrics.json"  # by evaluation
METRIC = "accuracy"  # its largest value marks the best epoch

# How the three numbers are called wherever they are shown.
LAST = "last epoch"
BEST_ON_HELD_OUT = "best epoch on held-out"
BEST_ON_TEST = "best epoch on test (optimistic)"


def read_log(workdir: str | pathlib.Path) -> list[dict]:
    """Returns all lines of `workdir/log.jsonl`; what is no line of it is left out.

    Each has `step` and `kind`: "train" with what a step reported, or "test" or
    "held_out" with `epoch` and the metrics of that split.
    """
    path = pathlib.Path(workdir) / LOG_FILE
    text = path.read_text(encoding="utf-8") if path.exists() else ""
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
