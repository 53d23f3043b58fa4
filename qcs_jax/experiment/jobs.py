"""The runs of an experiment: which they are, how far each is, and what runs them."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from qcs_jax import models
from qcs_jax.config import flatten, validate
from qcs_jax.config.flags import divided, read_config
from qcs_jax.evaluate import runs
from qcs_jax.evaluate.runs import INDIFFERENT, LAST
from qcs_jax.experiment.tablefile import Row
from qcs_jax.system.errors import Interrupted, UserError
from qcs_jax.system.signals import Interrupt

MAIN = (sys.executable, "-m", "qcs_jax.main")


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

    @property
    def run(self) -> runs.RunFolder | None:
        """The run as it is on disk, or None before it began."""
        return runs.read_run(self.workdir) if runs.is_run(self.workdir) else None

    @property
    def finished(self) -> bool:
        """Whether its last epoch was trained, evaluated and saved."""
        run = self.run
        if run is None or not run.finished:
            return False
        # A process killed right after its last evaluation had not saved that step yet.
        return run.scores[LAST]["step"] in self.saved_steps

    @property
    def evaluated(self) -> bool:
        """Whether `--mode=eval` was about what the run ended with."""
        run = self.run
        return run is not None and run.evaluated

    @property
    def state(self) -> str:
        """How far it is, for people."""
        run, steps = self.run, self.saved_steps
        if run is None or not steps:
            return "to do"
        if not self.finished:
            done, total = run.epochs
            return f"goes on after step {max(steps)}, epoch {done} of {total} tested"
        return "finished" if self.evaluated else "finished, to be evaluated"

    def differences(self, run: runs.RunFolder) -> dict[str, str]:
        """Returns the fields that matter and differ in a run, each with a sentence."""
        return {
            field: f"{field} was {run.config[field]!r}, is now {value!r}"
            for field, value in self.config.items()
            if field not in INDIFFERENT and run.config[field] != value
        }

    @property
    def saved_steps(self) -> set[int]:
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
      UserError: for a configuration that cannot run, fields that are not free, or a run
        on disk that was trained with other fields.
    """
    taken = {"seed", *(field for row in rows for field in row.fields)}
    for text in overrides:
        if text.removeprefix("--config.").partition("=")[0] in taken:
            raise UserError(
                f"{text}: leave it, the table sets this field, and --seeds=0,1,2 seeds"
            )
    return [
        _job(config, row, seed, overrides, workdir) for seed in seeds for row in rows
    ]


def _job(
    config: str, row: Row, seed: int, overrides: Sequence[str], workdir: pathlib.Path
) -> Job:
    if network := row.fields.get("model.name"):
        # "configs/raf.py" or "configs/raf.py:qcs,tiny" becomes that of the network.
        path, _, variant = divided(config)
        others = [x for x in variant.split(",") if x and x not in models.BRANCHES]
        config = f"{path}:{','.join([network, *others])}"
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
    job = Job(row, seed, folder, arguments, flat)
    run = job.run
    if run and job.saved_steps and (different := job.differences(run)):
        raise UserError(
            f"{folder} was trained with another configuration:\n  "
            + "\n  ".join(different.values())
            + "\nGive these values, another --workdir, or delete that folder"
        )
    return job


class Runner:
    """Runs child processes; a signal makes the one under way save and stop.

    A second Ctrl-C kills it at once: what was saved before stays good.
    """

    def __init__(self, program: Sequence[str] = MAIN):
        self._program = program
        self._interrupt = Interrupt(self._pass_on)
        self._child: subprocess.Popen | None = None

    def run(self, jobs: Sequence[Job]) -> list[str]:
        """Trains what is not finished, evaluates what is not evaluated.

        Returns what failed, a line each. Raises Interrupted after a signal, when the
        child has ended.
        """
        failures = []
        with self._interrupt:
            for number, job in enumerate(jobs, start=1):
                title = f"[{number} of {len(jobs)}] {job.row.label}, seed {job.seed}"
                print(f"\n{title}: {job.state}", flush=True)
                if failure := self._train_and_evaluate(job):
                    print(f"error: {title}: {failure}", file=sys.stderr, flush=True)
                    failures.append(f"{job.workdir}: {failure}")
        return failures

    def _train_and_evaluate(self, job: Job) -> str | None:
        """Returns what went wrong, if anything did."""
        if not job.finished and (failure := self._call("training", job.arguments)):
            return failure
        if job.evaluated:
            return None
        failure = self._call("evaluation", [*job.arguments, "--mode=eval"])
        if failure or job.evaluated:
            return failure
        return (
            "evaluation was of another step than the run ended with, whose checkpoint "
            "is damaged: delete that, and the same command goes on"
        )

    def _call(self, what: str, arguments: Sequence[str]) -> str | None:
        """Waits for a child; returns how it failed, if it did."""
        status = 0
        if self._interrupt.signum is None:
            # In a process group of its own, since Ctrl-C in a terminal goes to all of
            # a group: the child would take what comes from here for the second one.
            self._child = subprocess.Popen(
                [*self._program, *arguments], process_group=0
            )
            if self._interrupt.signum is not None:  # it came while the child started
                self._pass_on(again=False)
            status = self._child.wait()
            self._child = None
        if (signum := self._interrupt.signum) is not None:
            text = f"stopped by signal {signum}; the same command goes on"
            raise Interrupted(signum, text)
        if status < 0:
            return f"{what} was killed by signal {-status}"
        return f"{what} ended with status {status}" if status else None

    def _pass_on(self, again: bool) -> None:
        if self._child is not None:
            if again:
                self._child.kill()
            elif sys.platform != "win32":  # where a terminal tells the child, too
                self._child.terminate()
