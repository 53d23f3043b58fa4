"""Which runs an experiment consists of, and how far each of them is."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from qcs_jax import models
from qcs_jax.config import flatten, validate
from qcs_jax.config.flags import read_config
from qcs_jax.config.validate import parse_extra
from qcs_jax.evaluate import runs
from qcs_jax.evaluate.run_log import LAST
from qcs_jax.evaluate.runs import INDIFFERENT
from qcs_jax.experiment.tablefile import Row
from qcs_jax.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class Job:
    """One run: a row with a seed.

    `arguments` are those of `qcs_jax.main`, but for the mode; `config` has all fields
    by their dotted names, as `config.json` will have them.
    """

    row: Row
    seed: int
    workdir: pathlib.Path
    arguments: tuple[str, ...]
    config: dict[str, Any]

    def run(self) -> runs.RunFolder | None:
        """Returns the run as it is on disk, or None before it began."""
        return runs.read_run(self.workdir) if runs.is_run(self.workdir) else None

    @property
    def finished(self) -> bool:
        """Whether its last epoch was trained, evaluated and saved."""
        run = self.run()
        if run is None or not run.finished:
            return False
        # A process killed right after its last evaluation had not saved that step yet.
        return run.scores[LAST]["step"] in self._saved_steps()

    @property
    def evaluated(self) -> bool:
        """Whether `--mode=eval` was about what the run ended with."""
        run = self.run()
        return run is not None and run.evaluated

    @property
    def state(self) -> str:
        """How far it is, for people."""
        run, steps = self.run(), self._saved_steps()
        if run is None or not steps:
            return "to do"
        if not self.finished:
            done, total = run.epochs
            return f"goes on after step {max(steps)}, epoch {done} of {total} tested"
        return "finished" if self.evaluated else "finished, to be evaluated"

    @property
    def datasets(self) -> list[str]:
        """Names of the data sets that it needs."""
        extra = parse_extra(self.config["data.extra"])
        return [self.config["data.name"], *(name for name, _ in extra)]

    def differences(self, run: runs.RunFolder) -> dict[str, str]:
        """Returns the fields that matter and differ in a run, each with a sentence."""
        return {
            field: f"{field} was {run.config[field]!r}, is now {value!r}"
            for field, value in self.config.items()
            if field not in INDIFFERENT and run.config[field] != value
        }

    def check(self) -> None:
        """Raises UserError if what is on disk was trained with other fields."""
        run = self.run()
        different = self.differences(run) if run and self._saved_steps() else {}
        if different:
            raise UserError(
                f"{self.workdir} was trained with another configuration:\n  "
                + "\n  ".join(different.values())
                + "\nGive these values, another --workdir, or delete that folder"
            )

    def _saved_steps(self) -> set[int]:
        """Steps with a complete checkpoint; Orbax gives those their name when done."""
        names = {path.name for path in (self.workdir / "checkpoints").glob("*")}
        return {int(name) for name in names if name.isdecimal()}


def make_plan(
    config: str,
    rows: Sequence[Row],
    seeds: Sequence[int],
    overrides: Sequence[str],
    workdir: pathlib.Path,
) -> list[Job]:
    """Makes all runs, seed after seed, so that tables with all rows are there early.

    The network in `config`, `FILE` or `FILE:VARIANT`, is replaced by that of each row
    that sets one; `overrides`, `--config.FIELD=VALUE`, are for all runs.

    Raises:
      UserError: for a configuration that cannot run, or fields that are not free.
    """
    taken = {field for row in rows for field in row.fields}
    for text in overrides:
        field = text.removeprefix("--config.").partition("=")[0]
        if field == "seed":
            raise UserError(f"{text}: give the seeds with --seeds=0,1,2")
        if field in taken:
            raise UserError(f"{text}: the rows of the table set this field, leave it")
    jobs = [
        _job(config, row, seed, overrides, workdir) for seed in seeds for row in rows
    ]
    for job in jobs:
        job.check()
    return jobs


def _job(
    config: str, row: Row, seed: int, overrides: Sequence[str], workdir: pathlib.Path
) -> Job:
    if network := row.fields.get("model.name"):
        config = _of_network(config, network)
    of_row = [f"--config.{field}={value}" for field, value in row.fields.items()]
    fields = [*overrides, *of_row, f"--config.seed={seed}"]
    try:
        complete = read_config(config, fields)
        validate(complete)
    except UserError as error:
        raise UserError(f"row {row.name!r}: {error}") from error
    folder = workdir / row.name / f"seed{seed}"
    arguments = (f"--config={config}", *fields, f"--workdir={folder}")
    flat = json.loads(json.dumps(flatten(complete)))  # as config.json has it
    return Job(row, seed, folder, arguments, flat)


def _of_network(config: str, network: str) -> str:
    """Turns "configs/raf.py" or "configs/raf.py:qcs,tiny" into that of a network."""
    path, _, variant = config.partition(":")
    others = [word for word in variant.split(",") if word not in models.BRANCHES]
    return f"{path}:{','.join([network, *filter(None, others)])}"
