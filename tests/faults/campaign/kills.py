"""Kills training again and again; what goes on must be what nothing had stopped.

After every kill the run is started again. Its log and its newest checkpoint are
compared with those of a run that nobody touched, in every bit, and no process, lock or
temporary file of a killed one may be left.
"""

import itertools
import os
import signal
import time

import jax
import numpy as np
from fleet import Fleet, items_of, nobody_is_left, told

from qcs_jax import checkpoint
from qcs_jax.system.processes import GONE

EPOCH = 6  # steps
EPOCHS = 12  # that the reference has for each kill; a killed run takes fewer
MOMENTS = ("compiling", "a step", "an evaluation", "a save")
PATIENCE = 60  # seconds until a survivor must have ended


def alone(tally, folder, count, workers, draw):
    """Kills one process, which decodes in threads or in processes of its own."""
    if not count:
        return
    how = f"{workers} decoding processes" if workers else "decoding threads"
    flags = [f"--config.data.workers={workers}"]
    with _Experiment(folder, count, flags, devices=1) as experiment:
        for moment in itertools.islice(itertools.cycle(MOMENTS), count):
            with tally.one(f"kill -9 of a process with {how}, during {moment}"):
                experiment.kill(moment, draw)
                experiment.check()
        with tally.one(f"going on to the end, after all kills, {how}"):
            experiment.finish()


def of_two(tally, folder, count, draw):
    """Kills one of two processes; the other must end, with the status that says so."""
    if not count:
        return
    with _Experiment(folder, count, [], devices=2) as experiment:
        for _ in range(count):
            with tally.one("kill -9 of one of two processes"):
                experiment.kill_one_of_two(draw)
                experiment.check()
        with tally.one("going on to the end in one process, after all kills"):
            experiment.finish()


class _Experiment:
    """A run that is killed, and one that is not."""

    def __init__(self, folder, count, flags, devices):
        self.run, self.untouched = folder / "run", folder / "untouched"
        self.scratch = folder / "tmp"
        self.flags, self.devices = flags, devices
        self.epochs = 2 + EPOCHS * count

    def __enter__(self):
        self.scratch.mkdir(parents=True)
        os.environ["TMPDIR"] = str(self.scratch)  # inherited by all that a run starts
        keep = "--config.train.keep_checkpoints=1000000"
        self._train(self.untouched, self.epochs, keep)
        return self

    def __exit__(self, *_):
        del os.environ["TMPDIR"]

    def _flags(self, epochs):
        return [f"--config.train.epochs={epochs}", *self.flags]

    def _train(self, workdir, epochs, *flags):
        options = dict(count=1, devices=self.devices)
        with Fleet(workdir, *self._flags(epochs), *flags, **options) as run:
            [(status, _, err)] = run.ends(1200)
        assert (status, err) == (0, ""), err

    def kill(self, moment, draw):
        before = self.step
        options = dict(count=1, devices=self.devices)
        with Fleet(self.run, *self._flags(self.epochs), **options) as run:
            [process] = run.processes
            if moment == "compiling":
                time.sleep(draw.uniform(0, 8))
            else:
                run.wait_for_step(before + draw.randint(1, 3 * EPOCH))
                self._wait_for(moment, run)
            process.kill()
            assert process.wait(PATIENCE) == -signal.SIGKILL, "it had ended before"

    def _wait_for(self, moment, run):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            evaluating = run.step % EPOCH == 0
            saving = any(self.run.glob("checkpoints/*tmp*"))
            if {"an evaluation": evaluating, "a save": saving}.get(moment, True):
                return

    def kill_one_of_two(self, draw):
        before = self.step
        with Fleet(self.run, *self._flags(self.epochs), count=2) as run:
            run.wait_for_step(before + draw.randint(1, 3 * EPOCH))
            killed = draw.randint(0, 1)
            run.processes[killed].kill()
            status, _, err = run.ends(PATIENCE)[1 - killed]
        assert status == GONE and err.count("\n") == 1, err
        assert f"process {killed} is gone" in err

    @property
    def step(self):
        return checkpoint.newest_step(self.run) or 0

    def check(self):
        """What is there is a part of the run that nobody touched."""
        step = self.step
        wanted = [line for line in told(self.untouched) if line["step"] <= step]
        found = [line for line in told(self.run) if line["step"] <= step]
        # The evaluation of the newest checkpoint is written before it is saved.
        assert found == wanted
        if step:
            same = np.testing.assert_array_equal
            jax.tree.map(same, items_of(self.run, step), items_of(self.untouched, step))
        nobody_is_left(self.scratch)

    def finish(self):
        """Goes on in one process to the end of an epoch, and leaves nothing behind."""
        self._train(self.run, self.step // EPOCH + 1)
        self.check()
        left = [*self.run.rglob("*tmp*"), *self.scratch.iterdir()]
        assert not left, left
