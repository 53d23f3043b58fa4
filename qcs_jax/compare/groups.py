"""Groups runs that differ in nothing but the seed."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from qcs_jax.compare.runs import Run
from qcs_jax.config import FIELDS, Role, fields_with

NOT_OF_A_VARIANT = frozenset({"seed", *fields_with(Role.NEUTRAL)})
_OF_A_VARIANT = sorted(FIELDS.keys() - NOT_OF_A_VARIANT)


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs of one variant on one data set.

    Attributes:
      label: What tells it from other groups of the data set.
      runs: At least one, with any seeds, finished or not.
    """

    label: str
    runs: tuple[Run, ...]

    @property
    def dataset(self) -> str:
        return self.runs[0].config["data.name"]

    @property
    def counted(self) -> tuple[Run, ...]:
        """Finished runs, one of every seed, ordered by seed."""
        by_seed: dict[int, Run] = {}
        for run in self.runs:
            if run.finished:
                by_seed.setdefault(run.config["seed"], run)
        return tuple(by_seed[seed] for seed in sorted(by_seed))

    def notes(self) -> list[str]:
        """Returns what was left out of the averages, and why."""
        notes = []
        for run in self.runs:
            if not run.finished:
                done, whole = run.epochs
                notes.append(
                    f"not finished, left out: {run.workdir} ({done} of {whole} epochs)"
                )
        for run in self.counted:
            seed = run.config["seed"]
            again = [
                str(other.workdir)
                for other in self.runs
                if other.finished and other is not run and other.config["seed"] == seed
            ]
            if again:
                notes.append(
                    f"seed {seed} again, not independent, left out: "
                    f"{', '.join(again)} (counted: {run.workdir})"
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
            variants[repr([run.config[field] for field in different])].append(run)
        of_network = [
            Group(_label(network, different, same[0]), tuple(same))
            for same in variants.values()
        ]
        groups += sorted(of_network, key=lambda group: group.label)
    return groups


def _network(run: Run) -> tuple[str, str]:
    return run.config["data.name"], run.config["model.name"]


def _label(network: str, different: list[str], run: Run) -> str:
    """The network and those fields that differ, such as "qcs, information=s"."""
    texts = [
        f"{field.rpartition('.')[2]}={_text(run.config[field])}" for field in different
    ]
    return ", ".join([network, *texts])


def _text(value: Any) -> str:
    if isinstance(value, float):
        return format(value, "g")
    return str(value) if value != "" else "''"
