"""Kills training again and again; what goes on must be what nothing had stopped.

After every kill the run is started again. Its log and its newest checkpoint are
compared with those of a run that nobody touched, in every bit, and no process of a
killed one may be left; a lock that was would keep the next from starting. At the end no
temporary file may be left, either.
"""

import itertools
import signal
import time

import jax
import numpy as np
import pytest
from fleet import Fleet, items_of, nobody_is_left, told

from qcs_jax import checkpoint
from qcs_jax.system.processes import GONE

EPOCH = 6  # steps
EPOCHS = 6  # of the untouched run for each kill of the other, which takes fewer
MOMENTS = ("compiling", "a step", "an evaluation", "a save")
PATIENCE = 60  # seconds until a survivor must have ended


def alone(tally, folder, count, draw):
    """Kills one process, which decodes in threads or in processes of its own."""
    if not count:
        return
    untouched = _untouched(folder, (count + 1) // 2, devices=1)
    for workers, how in (0, "decoding threads"), (2, "2 decoding processes"):
        kills = count // 2 if workers else count - count // 2
        run = _Run(folder / how, untouched, 1, f"--config.data.workers={workers}")
        for moment in itertools.islice(itertools.cycle(MOMENTS), kills):
            with tally.one(f"kill -9 of a process with {how}, during {moment}"):
                run.kill(moment, draw)
                run.check()
        with tally.one(f"going on to the end, after all kills, {how}"):
            run.finish()


def of_two(tally, folder, count, draw):
    """Kills one of two processes; the other must end, with the status that says so."""
    if not count:
        return
    run = _Run(folder / "pair", _untouched(folder, count, devices=2), 2)
    for _ in range(count):
        with tally.one("kill -9 of one of two processes"):
            run.kill_one_of_two(draw)
            run.check()
    with tally.one("going on to the end in one process, after all kills"):
        run.finish()


def _untouched(folder, kills, devices):
    """The workdir of a run that nobody kills, longer than one with so many kills."""
    keep = "--config.train.keep_checkpoints=1000000"
    _train(folder / "untouched", 2 + EPOCHS * kills, devices, keep)
    return folder / "untouched"


def _train(workdir, epochs, devices, *flags):
    flags = f"--config.train.epochs={epochs}", *flags
    with Fleet(workdir, *flags, count=1, devices=devices) as run:
        [(status, _, err)] = run.ends(3600)
    assert (status, err) == (0, ""), err


class _Run:
    """A run that is killed, beside one that is not."""

    def __init__(self, folder, untouched, devices, *flags):
        self.run, self.untouched = folder / "run", untouched
        self.devices, self.flags = devices, flags
        self.scratch = folder / "tmp"
        self.scratch.mkdir(parents=True)

    def _start(self, count=1):
        # Longer than it ever gets: the learning rate does not depend on the end.
        flags = "--config.train.epochs=1000000", *self.flags
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TMPDIR", str(self.scratch))  # inherited by all that it starts
            devices = self.devices // count
            return Fleet(self.run, *flags, count=count, devices=devices)

    def kill(self, moment, draw):
        before, written = self.step, self._written()
        with self._start() as run:
            [process] = run.processes
            if moment == "compiling":
                time.sleep(draw.uniform(0, 5))
            else:
                self._wait_for_steps(run, written, before + draw.randint(1, 2 * EPOCH))
                self._wait_for(moment, run)
            process.kill()
            assert process.wait(PATIENCE) == -signal.SIGKILL, "it had ended before"

    def kill_one_of_two(self, draw):
        before, written = self.step, self._written()
        with self._start(count=2) as run:
            self._wait_for_steps(run, written, before + draw.randint(1, 2 * EPOCH))
            killed = draw.randint(0, 1)
            run.processes[killed].kill()
            status, _, err = run.ends(PATIENCE)[1 - killed]
        assert status == GONE and err.count("\n") == 1, err
        assert f"process {killed} is gone" in err

    def _written(self):
        return [log.stat().st_mtime_ns for log in self.run.glob("log.jsonl")]

    def _wait_for_steps(self, run, written, step):
        while self._written() == written:  # what was killed may have told more steps
            run.wait_for_step(0)
            time.sleep(0.05)
        run.wait_for_step(step)

    def _wait_for(self, moment, run):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            evaluating = run.step % EPOCH == 0
            saving = any(self.run.glob("checkpoints/*tmp*"))
            if {"an evaluation": evaluating, "a save": saving}.get(moment, True):
                return
        raise TimeoutError(f"there was never {moment}")

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
        _train(self.run, self.step // EPOCH + 1, self.devices, *self.flags)
        self.check()
        left = [*self.run.rglob("*tmp*"), *self.scratch.iterdir()]
        assert not left
