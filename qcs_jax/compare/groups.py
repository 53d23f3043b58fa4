"""Groups runs that differ in nothing but the seed."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Sequence

from qcs_jax.compare.runs import Run

# Fields that the result does not depend on.
INDIFFERENT = frozenset(
    {
        "name",
        "data.dir",
        "data.workers",
        "train.keep_checkpoints",
        "train.log_every",
        "train.tensorboard",
        "train.eval_batch_size",
    }
)
_NOT_OF_A_VARIANT = INDIFFERENT | {"seed"}


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs of one variant on one data set.

    Attributes:
      label: What tells it from other groups of the data set.
      runs: With any seeds, finished or not.
    """

    label: str
    runs: tuple[Run, ...]

    @property
    def dataset(self) -> str:
        return self.runs[0].config["data.name"]

    @property
    def counted(self) -> tuple[Run, ...]:
        """Finished runs, one of every seed, ordered by seed."""
        by_seed = {}
        for run in self.runs:
            if run.finished:
                by_seed.setdefault(run.config["seed"], run)
        return tuple(by_seed[seed] for seed in sorted(by_seed))

    def notes(self) -> list[str]:
        """What was left out of the averages, and why."""
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
    of_network = defaultdict(lambda: defaultdict(list))
    for run in runs:
        network = run.config["data.name"], run.config["model.name"]
        of_network[network][_key(run)].append(run)
    groups = []
    for (_, name), variants in sorted(of_network.items()):
        members = [tuple(found) for found in variants.values()]
        labels = _labels(name, [found[0].config for found in members])
        pairs = sorted(zip(labels, members, strict=True), key=lambda pair: pair[0])
        groups += [Group(label, found) for label, found in pairs]
    return groups


def _key(run: Run) -> str:
    own = {f: v for f, v in run.config.items() if f not in _NOT_OF_A_VARIANT}
    return json.dumps(own, sort_keys=True)


def _labels(network: str, configs: list[dict[str, object]]) -> list[str]:
    """The network and those fields that differ, such as "qcs, information=s"."""
    fields = sorted({field for config in configs for field in config})
    different = [
        field
        for field in fields
        if field not in _NOT_OF_A_VARIANT
        and any(c.get(field) != configs[0].get(field) for c in configs)
    ]
    return [
        ", ".join([network] + [f"{_short(f)}={_text(c.get(f))}" for f in different])
        for c in configs
    ]


def _short(field: str) -> str:
    return field.rsplit(".", 1)[-1]


def _text(value: object) -> str:
    if isinstance(value, float):
        return format(value, "g")
    return str(value) if value != "" else "''"
