"""Experiments: what is run and compared, fails, is stopped, and goes on."""

import json
import os
import pathlib
import signal
import time

import pytest

from qcs_jax.experiment import __main__ as command

ROOT = pathlib.Path(__file__).parents[2]
DEMO = str(ROOT / "configs" / "demo.py")


def test_runs_every_row_with_every_seed_and_compares(world):
    status, (out, _), calls = world.experiment(table="2")
    assert status == 0
    runs = [f"{row}/seed{seed}" for seed in (0, 1) for row in ("s", "d", "sd")]
    assert calls == [f"{mode} {run}" for run in runs for mode in ("train", "eval")]
    assert "6 runs, 6 of them to be trained" in out
    assert "[6 of 6] qcs: SD, seed 1" in out
    for text in (out, (world.workdir / "comparison.md").read_text()):
        assert "30.00 ± 0.00 (2)" in text
        places = [text.index(f"| qcs: {x} ") for x in ("S", "D", "SD")]
        assert places == sorted(places)
    for kind in ("csv", "tex"):
        assert (world.workdir / f"comparison.{kind}").exists()
    _, (out, _), _ = world.experiment(table="2", seeds="2")
    assert "30.00 ± 0.00 (3)" in out  # with those of earlier calls


MINE = """
[[row]]
name = "sam"
fields.optimizer.rho = 0.05

[[row]]
name = "adam"
fields.optimizer.rho = 0.0

[sweep]
field = "data.train_fraction"
values = {values}
"""


def test_a_sweep_has_a_table_for_each_value_and_those_of_earlier_calls(
    world, monkeypatch
):
    file, drawn = world.folder / "mine.toml", []

    def draw(shown, axis, ticks, folder):
        drawn.append((ticks, [*zip(shown["at"], shown["variant"], strict=True)]))

    def call(values, *more):
        file.write_text(MINE.format(values=values))
        status, (out, _), _ = world.experiment(*more, table=str(file), seeds="0")
        assert status == 0
        return out

    assert "drew" not in call("[0.5]")  # nobody answered about images: no curve
    monkeypatch.setattr(command, "draw", draw)
    out = call("[0.5, 1]")
    runs = sorted(x.relative_to(world.workdir) for x in world.workdir.rglob("seed*"))
    rows = [f"{value}/{row}" for value in ("0.5", "1") for row in ("adam", "sam")]
    assert runs == [pathlib.Path(f"{row}/seed0") for row in rows]
    for value in ("0.5", "1"):
        heading = f"## synthetic_faces/balanced, data.train_fraction={value}"
        table = out[out.index(heading) :]
        assert table.index("| sam ") < table.index("| adam ")
    out = call("[0.25]")
    assert "## synthetic_faces/balanced, data.train_fraction=0.5" in out
    assert "2 runs, 2 of them to be trained" in out
    call("[0.75]", "--config.train.batch_size=20")  # the others are no longer alike
    call("[0.25]\nat = [3]")  # where do 0.5 and 1 stand?
    call('["0.25", "1"]')  # side by side
    assert drawn == [
        (ticks, [(place, row) for place in at for row in ("sam", "adam")])
        for ticks, at in (
            (None, (0.5, 1)),
            (None, (0.25, 0.5, 1.0)),
            (None, (0.75,)),
            (None, (3,)),
            (["0.25", "1", "0.5"], (0, 1, 2)),
        )
    ]


def test_data_sets_that_are_not_prepared(world):
    """All of them are named before anything is trained, each once."""
    extra = "--config.data.extra=ferplus:fear+raf_db:fear"
    status, (out, err), calls = world.experiment(extra)
    assert (status, calls, out) == (1, [], "")
    assert err.count("is not prepared in") == 2
    assert "data set 'ferplus' is" in err and "data set 'raf_db' is" in err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--seeds=0,a"], "give numbers such as 0,1,2"),
        (["--seeds=-1"], "seed=-1"),
        (["--config.seed=1"], "--seeds=0,1,2"),
        (["--config.model.name=dcs"], "the table sets this"),
        (["--config.model.gama=1"], 'mean "gamma" instead'),
        (["--config.model.size=huge"], "choose from full, medium, small"),
        (["--config="], "names no recipe"),
        (None, "names no seeds"),
    ],
    ids=str,
)
def test_mistakes(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [f"--config={DEMO}", "--table=networks", "--workdir=x"]
    words += [] if arguments is None else ["--seeds=0", *arguments]
    assert command.main(words) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err
    assert not (tmp_path / "x").exists()


def test_unknown_arguments(capsys):
    for text in ("--epochs=3", "--config.train.epochs"):
        with pytest.raises(SystemExit, match="2"):
            command.main(["--table=1", "--workdir=x", text])
        assert text in capsys.readouterr().err


def test_what_is_finished_is_not_run_again(world):
    world.experiment(seeds="0")
    status, (out, _), calls = world.experiment(seeds="0,1")
    assert status == 0
    assert len(calls) == 6 and all(call.endswith("seed1") for call in calls)
    assert "6 runs, 3 of them to be trained" in out
    assert world.experiment(seeds="0,1")[2] == []
    # Evaluated again after another training:
    path = world.workdir / "qcs/seed0/metrics.json"
    measured = json.loads(path.read_text())
    path.write_text(json.dumps(measured | {"step": 20}))
    assert world.experiment(seeds="0")[2] == ["eval qcs/seed0"]
    # Killed between the last evaluation and its checkpoint:
    os.rmdir(world.workdir / "qcs/seed0/checkpoints/30")
    assert world.experiment(seeds="0")[2][0] == "train qcs/seed0"


def test_what_fails_is_reported_tried_again_and_the_others_go_on(world):
    failures = {"dcs/seed0": "train fails", "qcs/seed1": "train is killed"}
    failures |= {"dcs/seed1": "eval fails", "qcs/seed0": "eval finds damage"}
    world.behave(failures)
    status, (out, err), calls = world.experiment()
    assert status == 1
    assert len(calls) == 6 + 4
    assert f"{world.workdir / 'dcs/seed0'}: training ended with status 3" in err
    assert "qcs/seed1: training was killed by signal 9" in err
    assert "dcs/seed1: evaluation ended with status 3" in err
    assert "qcs/seed0: evaluation was of another step" in err
    assert "30.00 ± - (1)" in out  # of dcs, and the table is there
    world.behave({})
    status, (out, _), calls = world.experiment()
    assert status == 0
    again = ["train dcs/seed0", "eval dcs/seed0", "eval qcs/seed0"]
    assert calls == [*again, "eval dcs/seed1", "train qcs/seed1", "eval qcs/seed1"]
    assert out.count("finished, to be evaluated") == 4


def test_stopping_and_going_on(world):
    world.behave({"dcs/seed0": "is asked to stop"})
    before = signal.getsignal(signal.SIGINT)
    status, (out, err), calls = world.experiment()
    assert status == 128 + signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is before
    assert calls == ["train baseline/seed0", "eval baseline/seed0", "train dcs/seed0"]
    saved = world.workdir / "dcs/seed0/saved"
    assert saved.read_text() == f"signal {signal.SIGTERM:d}, own group: True"
    assert "the same command goes on" in err
    assert "± " not in out
    world.behave({})
    status, (out, _), calls = world.experiment()
    assert status == 0
    assert "goes on after step 10, epoch 1 of 3 tested" in out
    assert calls[:2] == ["train dcs/seed0", "eval dcs/seed0"] and len(calls) == 10


def test_a_second_ctrl_c_does_not_wait(world):
    world.behave({"dcs/seed0": "does not stop"})
    began = time.monotonic()
    assert world.experiment()[0] == 128 + signal.SIGINT
    assert time.monotonic() - began < 50  # it would have slept for 60 seconds


def test_another_configuration_does_not_pass_for_this_one(world):
    # What saved nothing may be changed.
    rows = ("baseline", "dcs", "qcs")
    world.behave({f"{row}/seed0": "train fails" for row in rows})
    assert world.experiment("--config.model.gamma=2.0", seeds="0")[0] == 1
    world.behave({})
    assert world.experiment(seeds="0")[0] == 0
    status, (out, err), calls = world.experiment(
        "--config.optimizer.rho=0.5", "--config.model.gamma=2.0", seeds="0"
    )
    assert (status, calls) == (1, [])
    assert "optimizer.rho was 0.05, is now 0.5" in err
    assert "model.gamma was 1.0, is now 2.0" in err
    harmless = ["--config.train.log_every=7", "--config.data.workers=1"]
    assert world.experiment(*harmless, seeds="0")[0] == 0
