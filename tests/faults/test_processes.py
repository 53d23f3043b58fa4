"""Several processes give what one gives, and end together whatever happens to one."""

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import time

import pytest
import toy
from fleet import Fleet, assert_same

from qcs_jax import checkpoint
from qcs_jax.system.processes import GONE

LONG = "--config.train.epochs=2000"


def train(workdir, *flags, **options):
    """Trains to the end; returns what was printed by process 0."""
    with Fleet(workdir, *flags, **options) as run:
        ended = run.ends()
    for status, _, err in ended:
        assert (status, err) == (0, "")
    for _, out, _ in ended[1:]:  # the library of the collectives prints something
        assert not re.sub(r"\[Gloo\].*\n", "", out)
    return ended[0][1]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A run of DCS in one process with two devices."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    train(workdir, variant="dcs", count=1, devices=2)
    return workdir


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The same run in two processes with a device each; and what it printed."""
    workdir = tmp_path_factory.mktemp("pair") / "run"
    return workdir, train(workdir, variant="dcs")


def test_two_processes_equal_two_devices(alone, pair):
    workdir, out = pair
    assert_same(workdir, alone)
    assert out.count("epoch   1") == out.count("trained 2 epochs") == 1
    names = {path.name for path in workdir.iterdir()}
    assert names == {path.name for path in alone.iterdir()}


def test_two_processes_evaluate_as_one(alone, pair, tmp_path):
    ids = toy.source("test").ids(range(21))
    told = "".join(f"{name},{'ab'[i % 2]}\n" for i, name in enumerate(ids))
    (tmp_path / "groups.csv").write_text("id,side\n" + told)
    flags = "--mode=eval", f"--groups={tmp_path / 'groups.csv'}"
    measured = []
    for count in (1, 2):
        workdir = tmp_path / str(count) / "run"
        shutil.copytree(alone, workdir)
        page = workdir / "report" / "index.html"
        page.parent.mkdir()
        page.write_text("of other numbers")
        train(workdir, *flags, variant="dcs", count=count, devices=3 - count)
        assert count == 2 or "of other numbers" not in page.read_text("utf-8")
        assert page.exists() == (count == 1)  # a single process has written its own
        found = json.loads((workdir / "metrics.json").read_text())
        measured.append({**found, "run": ""})
    assert measured[0] == measured[1] and measured[0]["groups"]


def test_all_stop_at_the_same_step_and_one_goes_on(tmp_path):
    """After a signal to one, to all, and where one writes no file as large as an array.

    That is a disk which fails: training goes on until it has to end.
    """
    workdir, step = tmp_path / "run", 0
    for signals in ({1: signal.SIGTERM}, {0: signal.SIGINT, 1: signal.SIGINT}):
        [signum] = set(signals.values())
        with Fleet(workdir, LONG) as run:
            run.wait_for_step(step + 20)
            for process in signals:
                run.processes[process].send_signal(signum)
            ended = run.ends(60)
        assert [status for status, _, _ in ended] == [128 + signum] * 2
        pattern = rf"stopped by signal {signum} after step (\d+) of .*\n"
        [step] = {int(re.fullmatch(pattern, err)[1]) for _, _, err in ended}
        assert checkpoint.newest_step(workdir) == step
    with Fleet(workdir, LONG) as run:
        run.wait_for_step(step + 20)
        resource.prlimit(run.processes[0].pid, resource.RLIMIT_FSIZE, (4096, 4096))
        first = run.processes[0].stderr.readline()
        run.processes[1].send_signal(signal.SIGTERM)
        ended = run.ends(60)
    assert [status for status, _, _ in ended] == [1, 1]
    *warnings, error = [first, *ended[0][2].splitlines()]
    assert error.startswith("error: a checkpoint could not be written to")
    assert all("a checkpoint could not be written to" in line for line in warnings)
    assert ended[1][2] == "error: process 0 cannot use the checkpoints, and says why\n"
    epochs = f"--config.train.epochs={checkpoint.newest_step(workdir) // 6 + 1}"
    for folder in (workdir, tmp_path / "uninterrupted"):
        train(folder, epochs, count=1, devices=2)
    assert_same(workdir, tmp_path / "uninterrupted")


def test_all_leave_the_damaged_checkpoint(pair, tmp_path):
    workdir = shutil.copytree(pair[0], tmp_path / "run")
    (workdir / "checkpoints" / "12" / "config" / "metadata").unlink()
    with Fleet(workdir, variant="dcs") as run:
        (status, out, told), (other, _, silent) = run.ends()
    assert (status, other, silent) == (0, 0, "")
    assert "resuming after step 6 of 12" in out and "trying an older one" in told
    assert (workdir / "damaged" / "12" / "params").is_dir()
    assert_same(workdir, pair[0])


def refused(workdir, *flags, **options):
    """Errors, one line of each process."""
    with Fleet(workdir, *flags, **options) as run:
        ended = run.ends(100)
    assert [(status, err.count("\n")) for status, _, err in ended] == [(1, 1)] * 2
    return [err for _, _, err in ended]


def test_one_that_cannot_read_the_checkpoints_stops_all(pair, tmp_path):
    """As with a disk of its own, or one that fails."""
    workdir = shutil.copytree(pair[0], tmp_path / "run")
    own = {1: f"--workdir={tmp_path / 'elsewhere'}"}
    errors = refused(workdir, "--config.train.epochs=3", variant="dcs", own=own)
    assert "process 1 cannot use the checkpoints" in errors[0]
    assert "Process 0 can read it: give all processes one --workdir" in errors[1]
    assert_same(workdir, pair[0])


def test_two_networks_are_not_evaluated_as_one(pair, tmp_path):
    """Each process would answer for its part of the images, by weights of its own."""
    workdir, other = (shutil.copytree(pair[0], tmp_path / x) for x in ("run", "other"))
    shutil.rmtree(other / "checkpoints" / "12")
    own = {1: f"--workdir={other}"}
    for error in refused(workdir, "--mode=eval", variant="dcs", own=own):
        assert "do not see the same network" in error
    assert not (workdir / "metrics.json").exists()


def test_two_networks_are_not_trained_as_one(tmp_path):
    for error in refused(tmp_path / "run", own={1: "--config.seed=1"}):
        assert "do not see the same weights" in error
    assert not (tmp_path / "run" / "log.jsonl").exists()


def is_read(fifo):
    """Whether a process waits for what is in it."""
    with contextlib.suppress(OSError):
        # It stays open: there is more to come.
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK) > 0


@pytest.mark.parametrize(
    "stopped, signum, said",
    [(0, signal.SIGTERM, "stopped by signal 15\n"), (1, signal.SIGINT, "stopped\n")],
)
def test_a_signal_ends_the_evaluation_of_all(stopped, signum, said, pair, tmp_path):
    workdir = shutil.copytree(pair[0], tmp_path / "run")
    before = {path.name for path in workdir.iterdir()}
    os.mkfifo(groups := tmp_path / "groups.csv")
    own = {stopped: f"--groups={groups}"}
    with Fleet(workdir, "--mode=eval", variant="dcs", own=own) as run:
        while not is_read(groups):
            assert all(process.poll() is None for process in run.processes)
            time.sleep(0.05)
        run.processes[stopped].send_signal(signum)
        ended = run.ends(60)
    assert ended[stopped][::2] == (128 + signum, said)
    status, _, err = ended[1 - stopped]
    assert status == GONE and err.count("\n") == 1
    assert err.startswith(f"error: process {stopped} is gone")
    assert {path.name for path in workdir.iterdir()} == before


@pytest.mark.parametrize("killed", [0, 1])
def test_none_waits_for_one_that_is_killed(killed, tmp_path):
    with Fleet(tmp_path / "run", LONG) as run:
        run.wait_for_step(20)
        run.processes[killed].kill()
        began = time.monotonic()
        status, _, err = run.ends(60)[1 - killed]
    assert time.monotonic() - began < 30
    step = checkpoint.newest_step(tmp_path / "run")
    assert status == GONE and err.startswith(
        f"error: process {killed} is gone: killed,"
    )
    assert err.endswith(f" again, to resume after step {step}.\n")
    assert err.count("\n") == 1
