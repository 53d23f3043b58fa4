"""Groups runs that differ in nothing but the seed."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from qcs_jax.config import FIELDS, Role, fields_with
from qcs_jax.evaluate.runs import Run

INDIFFERENT = frozenset(fields_with(Role.NEUTRAL))
_OF_A_VARIANT = sorted(FIELDS.keys() - INDIFFERENT - {"seed"})


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs of one variant on one data set.

    Attributes:
      label: What tells it from other groups of the data set.
      runs: At least one, with any seeds, finished or not.
      setting: Value of the field that a sweep varies, as text; empty without one.
    """

    label: str
    runs: tuple[Run, ...]
    setting: str = ""

    @property
    def dataset(self) -> str:
        """The runs' `data.name`."""
        return self.runs[0].config["data.name"]

    @property
    def counted(self) -> tuple[Run, ...]:
        """The finished runs, one of every seed, ordered by seed."""
        by_seed: dict[int, Run] = {}
        for run in self.runs:
            if run.finished:
                by_seed.setdefault(run.config["seed"], run)
        return tuple(by_seed[seed] for seed in sorted(by_seed))

    def notes(self) -> list[str]:
        """Returns what was left out of the averages, and why."""
        counted = {run.config["seed"]: run for run in self.counted}
        notes = []
        for run in self.runs:
            seed, (done, whole) = run.config["seed"], run.epochs
            if not run.finished:
                notes.append(
                    f"not finished, left out: {run.workdir} ({done} of {whole} epochs)"
                )
            elif run is not counted[seed]:
                notes.append(
                    f"seed {seed} again, not independent, left out: {run.workdir} "
                    f"(counted: {counted[seed].workdir})"
                )
        return notes


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Groups by data set and variant; ordered by data set, network and label."""
    groups = []
    for (_, network), found in groupby(sorted(runs, key=_network), _network):
        members = list(found)
        different = [
            field
            for field in _OF_A_VARIANT
            if any(r.config[field] != members[0].config[field] for r in members)
        ]
        variants = defaultdict(list)
        for run in members:
            variants[_label(network, different, run)].append(run)
        groups += [Group(label, tuple(variants[label])) for label in sorted(variants)]
    return groups


def _network(run: Run) -> tuple[str, str]:
    return run.config["data.name"], run.config["model.name"]


def _label(network: str, different: list[str], run: Run) -> str:
    """Returns the network and the fields that differ, as "qcs, information=s"."""
    texts = [
        f"{field.rpartition('.')[2]}={_text(run.config[field])}" for field in different
    ]
    return ", ".join([network, *texts])


def _text(value: Any) -> str:
    """Tells any two values apart: runs are grouped by it."""
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return str(value) if value != "" else "''"
