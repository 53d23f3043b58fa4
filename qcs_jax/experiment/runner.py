"""Runs jobs one after another, each in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

from qcs_jax.experiment.plan import Job

MAIN = (sys.executable, "-m", "qcs_jax.main")

# What stops an experiment. SIGHUP, where there is one, says that the terminal is gone.
_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
]


class Stopped(Exception):
    """A signal stopped the experiment; the child has ended.

    Attributes:
      signum: The signal.
    """

    def __init__(self, signum: int):
        super().__init__(f"stopped by signal {signum}; the same command goes on")
        self.signum = signum


class Runner:
    """Runs child processes; a signal makes the one under way save and stop.

    A second Ctrl-C kills it at once: what was saved before stays good. Use as a context
    manager, in the main thread.
    """

    def __init__(self, command: Sequence[str] = MAIN):
        """`command` is what job arguments are given to."""
        self._command = command
        self._signum: int | None = None
        self._child: subprocess.Popen | None = None
        self._previous = {}

    def __enter__(self) -> Runner:
        for signum in _SIGNALS:
            self._previous[signum] = signal.signal(signum, self._pass_on)
        return self

    def __exit__(self, *exception: object) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)

    def run(self, jobs: Sequence[Job]) -> list[str]:
        """Trains what is not finished, evaluates what is not evaluated.

        Returns:
          What failed, a line each.

        Raises:
          Stopped: after a signal.
        """
        failures = []
        for number, job in enumerate(jobs, start=1):
            title = f"[{number} of {len(jobs)}] {job.row.label}, seed {job.seed}"
            print(f"\n{title}: {job.state}", flush=True)
            failure = self._train_and_evaluate(job)
            if failure:
                print(f"error: {title}: {failure}", file=sys.stderr, flush=True)
                failures.append(f"{job.workdir}: {failure}")
        return failures

    def _train_and_evaluate(self, job: Job) -> str | None:
        """What went wrong, if anything did."""
        if not job.finished:
            failure = self._call("training", job.arguments)
            if failure:
                return failure
        if not job.evaluated:
            return self._call("evaluation", (*job.arguments, "--mode=eval"))
        return None

    def _call(self, what: str, arguments: Sequence[str]) -> str | None:
        """Waits for a child; how it failed, if it did. Raises Stopped."""
        if self._signum is None:
            # In a process group of its own, since Ctrl-C in a terminal goes to a whole
            # group: the child would take what comes from here for the second one.
            self._child = subprocess.Popen(
                [*self._command, *arguments], process_group=0
            )
            if self._signum is not None:  # it came while the child was started
                self._child.terminate()
            status = self._child.wait()
            self._child = None
        if self._signum is not None:
            raise Stopped(self._signum)
        if status < 0:
            return f"{what} was killed by signal {-status}"
        return f"{what} ended with status {status}" if status else None

    def _pass_on(self, signum: int, frame: object) -> None:
        again = self._signum == signal.SIGINT == signum
        self._signum = signum
        if self._child is not None:
            self._child.kill() if again else self._child.terminate()
