"""Runs jobs one after another, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from qcs_jax.experiment.plan import Job
from qcs_jax.system.errors import Interrupted
from qcs_jax.system.signals import Interrupt

MAIN = (sys.executable, "-m", "qcs_jax.main")


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
        if not job.finished:
            if failure := self._call("training", job.arguments):
                return failure
        if not job.evaluated:
            if failure := self._call("evaluation", (*job.arguments, "--mode=eval")):
                return failure
            if not job.evaluated:
                return (
                    "evaluation was of another step than the run ended with, whose "
                    "checkpoint is damaged: delete that, and the same command goes on"
                )
        return None

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
                self._child.terminate()
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
            self._child.kill() if again else self._child.terminate()
