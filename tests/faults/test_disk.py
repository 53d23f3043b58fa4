"""A full disk, a workdir that is gone, a kill: nothing is lost, nothing is left."""

import contextlib
import pathlib
import re
import shutil
import signal
import subprocess

import pytest
import toy
from fleet import Fleet, assert_same, newest_items, nobody_is_left, started_in

from qcs_jax import checkpoint, main

SIZE = 6 * 2**20  # bytes of the disk


@pytest.fixture
def disk(tmp_path):
    """A folder that is a small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, stderr=-3).returncode:
        pytest.skip("makes a small disk: only root can mount one")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path):
    """Writes a file until there is no space left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_nothing_is_lost_while_the_disk_is_full(disk, tmp_path):
    ballast, workdir = disk / "ballast", disk / "run"
    with Fleet(workdir, "--config.train.epochs=2000", count=1) as run:
        run.wait_for_step(20)
        fill(ballast)
        saved = checkpoint.newest_step(workdir)
        # The log stands still, but what it could not write is kept.
        line = run.processes[0].stdout.readline
        while "is not saved" not in (said := line()):
            assert said
        assert "warning: step " in said and "MB of space" in said
        assert "Training goes on." in said
        assert checkpoint.newest_step(workdir) in (saved, saved + 6)
        ballast.unlink()
        run.wait_for_step(run.step + 20)
        run.processes[0].send_signal(signal.SIGTERM)
        [(status, _, err)] = run.ends(60)
    assert status == 128 + signal.SIGTERM and "the state is saved" in err
    epochs = f"--config.train.epochs={checkpoint.newest_step(workdir) // 6 + 1}"
    for folder in (workdir, tmp_path / "uninterrupted"):
        with Fleet(folder, epochs, count=1) as run:
            assert run.ends()[0][0] == 0
    assert_same(workdir, tmp_path / "uninterrupted")


def test_a_run_that_cannot_begin_says_so(disk, monkeypatch, capsys):
    toy.install(monkeypatch)
    fill(disk / "ballast")
    assert main.run("train", toy.config(), disk / "run", "command") == 1
    error = capsys.readouterr().err
    assert re.fullmatch(r"error: .*No space left on device: .*config.json.*\n", error)
    workdir = disk / "ballast" / "run"  # below a file
    assert main.run("train", toy.config(), workdir, "command") == 1
    assert re.fullmatch("error: .*Not a directory.*\n", capsys.readouterr().err)


@pytest.mark.skipif(not pathlib.Path("/proc").is_dir(), reason="looks into /proc")
def test_a_moved_workdir_is_made_again_and_no_worker_survives(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    workdir = tmp_path / "run"
    flags = "--config.train.epochs=2000", "--config.data.workers=2"
    with Fleet(workdir, *flags, count=1) as run:
        run.wait_for_step(7)
        assert len([*started_in(tmp_path)]) >= 3  # it, and two that decode
        workdir.rename(tmp_path / "elsewhere")
        run.wait_for_step(40)
        run.processes[0].kill()
        nobody_is_left(tmp_path)
    step = checkpoint.newest_step(workdir)
    assert newest_items(workdir)["train"]["step"] == step >= 24
