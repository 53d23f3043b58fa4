"""A process that is killed leaves no process behind."""

import pathlib

import pytest
from fleet import Fleet, nobody_is_left, started_in


@pytest.mark.skipif(not pathlib.Path("/proc").is_dir(), reason="looks into /proc")
def test_workers_end_with_the_process_that_started_them(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    flags = "--config.train.epochs=2000", "--config.data.workers=2"
    with Fleet(tmp_path / "run", *flags, count=1) as run:
        run.wait_for_step(7)
        assert len([*started_in(tmp_path)]) >= 3  # it, and two that decode
        run.processes[0].kill()
        nobody_is_left(tmp_path)
