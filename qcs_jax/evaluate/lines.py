"""A variant over its seeds: mean, spread and maximum of the three numbers."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence

from qcs_jax.evaluate import published
from qcs_jax.evaluate.evidence import Evidence, Versus
from qcs_jax.evaluate.rows import Group
from qcs_jax.evaluate.run_log import BEST_ON_HELD_OUT, BEST_ON_TEST, LAST, METRIC

NUMBERS = (LAST, BEST_ON_HELD_OUT, BEST_ON_TEST)


@dataclasses.dataclass(frozen=True)
class Statistic:
    """One number over runs, in percent.

    Attributes:
      n: Number of runs.
      mean: Their mean.
      std: Sample standard deviation (n - 1), or None for a single run.
      max: The largest.
    """

    n: int
    mean: float
    std: float | None
    max: float

    @classmethod
    def of(cls, fractions: Sequence[float]) -> Statistic | None:
        """Takes numbers between 0 and 1; None if there are none."""
        if not fractions:
            return None
        percent = [100 * value for value in fractions]
        std = statistics.stdev(percent) if len(percent) > 1 else None
        return cls(len(percent), statistics.fmean(percent), std, max(percent))

    @property
    def spread(self) -> str:
        """The standard deviation as text."""
        return "-" if self.std is None else f"{self.std:.2f}"


@dataclasses.dataclass(frozen=True)
class Line:
    """One variant of a table.

    Attributes:
      dataset: Value of `data.name`.
      setting: Value of the field that a sweep varies; empty without one.
      label: What the table calls the variant.
      seeds: Seeds of the runs that count.
      accuracy: Accuracy by the name of each number that there is, `run_log.LAST`, ...
      mean_class_accuracy: The same for the mean accuracy of classes.
      paper: What the paper reports.
      most_frequent: Accuracy of always answering the most frequent class, a fraction;
        None for runs of versions that did not log it.
      chance: Likewise, of a random answer.
      evidence: How certain its accuracy is; None where no answers to images are there.
    """

    dataset: str
    setting: str
    label: str
    seeds: tuple[int, ...]
    accuracy: dict[str, Statistic]
    mean_class_accuracy: dict[str, Statistic]
    paper: published.Result | None
    most_frequent: float | None = None
    chance: float | None = None
    evidence: Evidence | None = None

    @property
    def heading(self) -> str:
        """What the tables are told apart by."""
        return ", ".join(filter(None, [self.dataset, self.setting]))

    @property
    def versus(self) -> Versus | None:
        """The comparison with another variant, if there is one."""
        return self.evidence.versus if self.evidence else None

    @classmethod
    def of(
        cls,
        group: Group,
        table: int | None = None,
        evidence: Evidence | None = None,
    ) -> Line:
        """Summarises a group; `table` is where to look for the paper's number."""
        runs = [run.scores.named() for run in group.counted if run.scores]

        def over_runs(metric: str) -> dict[str, Statistic]:
            values = {n: [x[n][metric] for x in runs if n in x] for n in NUMBERS}
            return {n: found for n in values if (found := Statistic.of(values[n]))}

        last = runs[0][LAST] if runs else {}
        # Under one path, runs may have found different weights to start from.
        papers = [
            published.find(run.config, table, run.started_from) for run in group.counted
        ]
        same = all(paper is papers[0] for paper in papers)
        return cls(
            group.dataset,
            group.setting,
            group.label,
            tuple(run.config["seed"] for run in group.counted),
            over_runs(METRIC),
            over_runs("mean_class_accuracy"),
            papers[0] if papers and same else None,
            last.get("most_frequent"),
            last.get("chance"),
            evidence,
        )
