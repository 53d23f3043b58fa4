"""Where a run's numbers go."""

import types

import pytest
import tqdm

from qcs_jax.evaluate.runs import read_log
from qcs_jax.train import writer as module
from qcs_jax.train.writer import Writer


def create(folder, **options):
    usual = dict(start=0, total=2, images_per_step=4, log_every=1, tensorboard=False)
    return Writer(folder, **usual | options)


@pytest.mark.parametrize("start", [0, 7])
def test_the_bar_leaves_out_the_first_step(tmp_path, capsys, monkeypatch, start):
    """It is compiled: a bar that stood at 0 meanwhile would promise hours."""
    clock = [1000.0]
    monkeypatch.setattr(tqdm.std, "time", lambda: clock[0])
    with create(tmp_path, start=start, total=start + 5) as writer:
        writer.say("compiling")
        clock[0] += 60
        assert capsys.readouterr() == ("compiling\n", "")
        for _ in range(5):
            writer.advance()
            clock[0] += 2
    first, *_, last = capsys.readouterr().err.strip().split("\r")
    assert f"{start + 1}/{start + 5} [00:00<?" in first
    assert f"{start + 5}/{start + 5} [00:10<00:00,  2.50s/step" in last


@pytest.mark.parametrize("start", [0, 7])
def test_the_speed_leaves_out_the_first_step(tmp_path, monkeypatch, start):
    clock = [1000.0]
    fake = types.SimpleNamespace(perf_counter=lambda: clock[0])
    monkeypatch.setattr(module, "time", fake)
    with create(tmp_path, start=start, total=start + 9, log_every=3) as writer:
        clock[0] += 60
        for step in range(start + 1, start + 9):
            writer.train(step, {"loss": 1.0})
            clock[0] += 2
    lines = read_log(tmp_path)
    logged = [step for step in range(start + 1, start + 9) if step % 3 == 0]
    assert [line["step"] for line in lines] == logged
    assert {line["steps_per_second"] for line in lines} == {0.5}
    assert {line["images_per_second"] for line in lines} == {2.0}


def test_other_processes_say_nothing(tmp_path, capsys):
    with create(tmp_path, quiet=True) as writer:
        writer.advance()
        writer.say("half of it")
    assert capsys.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_does_not_hide_why_a_run_ends(tmp_path):
    def end(error=None):
        with create(tmp_path) as output:
            output._log.close()
            output._log = open("/dev/full", "a")
            output.write(1, "train", {"loss": 1.0})
            if error:
                raise error

    with pytest.raises(KeyError):
        end(KeyError())
    with pytest.raises(OSError, match="No space left .*log.jsonl"):
        end()
