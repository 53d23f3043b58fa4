"""Runs jobs one after another, each in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

from qcs_jax.experiment.plan import Job

MAIN = (sys.executable, "-m", "qcs_jax.main")

# What stops an experiment -> what its child is told. A child saves on the first two;
# when the terminal goes away it should save, too.
_SIGNALS = {
    name: getattr(signal, other)
    for name, other in (
        ("SIGINT", "SIGINT"),
        ("SIGTERM", "SIGTERM"),
        ("SIGHUP", "SIGTERM"),
    )
    if hasattr(signal, name)
}


class Stopped(Exception):
    """A signal stopped the experiment; the child has ended.

    Attributes:
      signum: The signal.
    """

    def __init__(self, signum: int):
        super().__init__(f"stopped by signal {signum}; the same command goes on")
        self.signum = signum


class Runner:
    """Runs child processes, and passes signals on to the one under way.

    Use as a context manager, in the main thread.
    """

    def __init__(self, command: Sequence[str] = MAIN):
        """`command` is what job arguments are given to."""
        self._command = command
        self._signum: int | None = None
        self._child: subprocess.Popen | None = None
        self._previous = {}

    def __enter__(self) -> Runner:
        for name in _SIGNALS:
            signum = getattr(signal, name)
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
            # A process group of its own: Ctrl-C in a terminal reaches it once, from
            # here. The second one, as it would seem, makes it stop without saving.
            self._child = subprocess.Popen(
                [*self._command, *arguments], process_group=0
            )
            if self._signum is not None:  # it came while the child was started
                self._child.send_signal(signal.SIGTERM)
            status = self._child.wait()
            self._child = None
        if self._signum is not None:
            raise Stopped(self._signum)
        if status < 0:
            return f"{what} was killed by signal {-status}"
        return f"{what} ended with status {status}" if status else None

    def _pass_on(self, signum: int, frame: object) -> None:
        self._signum = signum
        if self._child is not None:
            self._child.send_signal(_SIGNALS[signal.Signals(signum).name])
