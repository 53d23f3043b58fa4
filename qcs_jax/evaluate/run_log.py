"""The log of a run, and the three numbers that it ended with."""

from __future__ import annotations

import contextlib
import dataclasses
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


@dataclasses.dataclass(frozen=True)
class Scores:
    """Test metrics of a run at three epochs, with `epoch` and `step` beside them."""

    last: dict  # nothing was chosen
    best_on_held_out: dict | None  # an honest choice; None where none were held out
    best_on_test: dict  # optimistic; what most papers report

    @classmethod
    def of(cls, lines: list[dict]) -> Scores | None:
        """Takes what `read_log` returns; None if there was no evaluation yet."""
        tested = {x["step"]: x for x in lines if x["kind"] == "test"}
        if not tested:
            return None
        held_out = [x for x in lines if x["kind"] == "held_out" and x["step"] in tested]
        chosen = tested[_best(held_out)["step"]] if held_out else None
        return cls(tested[max(tested)], chosen, _best(tested.values()))

    def named(self) -> dict[str, dict]:
        """Returns the numbers that there are, by what they are called."""
        numbers = {
            LAST: self.last,
            BEST_ON_HELD_OUT: self.best_on_held_out,
            BEST_ON_TEST: self.best_on_test,
        }
        return {name: scores for name, scores in numbers.items() if scores is not None}


def _best(lines: Iterable[dict]) -> dict:
    """The line with the largest metric; of equals the last, as checkpoints are kept."""
    return max(lines, key=lambda line: (line[METRIC], line["step"]))
