"""Experiments that fail, are stopped, go on, or are run again."""

import json
import os
import pathlib
import signal
import time
import types

import toy

from qcs_jax import main
from qcs_jax.experiment import __main__ as command
from qcs_jax.experiment import jobs, tablefile
from qcs_jax.experiment.jobs import make_plan

ROOT = pathlib.Path(__file__).parents[2]


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
    scores = json.loads(path.read_text())["scores"]
    scores["last epoch"]["accuracy"] += 1e-9
    for changed in (measured | {"scores": scores}, measured | {"step": 20}, []):
        path.write_text(json.dumps(changed))
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
    status, _, calls = world.experiment()
    assert status == 128 + signal.SIGINT
    assert len(calls) == 3
    assert time.monotonic() - began < 50  # it would have slept for 60 seconds


def test_another_configuration_does_not_pass_for_this_one(world):
    # What saved nothing may be changed.
    rows = ("baseline", "dcs", "qcs")
    world.behave({f"{row}/seed0": "train fails" for row in rows})
    assert world.experiment("--config.model.gamma=2.0", seeds="0")[0] == 1
    assert (world.workdir / "qcs/seed0/config.json").exists()
    world.behave({})
    status, _, calls = world.experiment(seeds="0")
    assert status == 0 and len(calls) == 6
    status, (out, err), calls = world.experiment(
        "--config.optimizer.rho=0.5", "--config.model.gamma=2.0", seeds="0"
    )
    assert (status, calls) == (1, [])
    assert "optimizer.rho was 0.05, is now 0.5" in err
    assert "model.gamma was 1.0, is now 2.0" in err
    assert "seed" not in err.split("configuration:")[1].split("Give")[0]
    harmless = ["--config.train.log_every=7", "--config.data.workers=1"]
    assert world.experiment(*harmless, seeds="0")[0] == 0


TOY = """
config = "{config}"
seeds = [0]
fields.train.epochs = 1

[[row]]
name = "baseline"
"""


def test_a_real_run_is_evaluated_once(world, monkeypatch, capfd):
    """As the fake ones, but that they are not processes of their own."""
    modes = []

    class Child:
        def __init__(self, words, process_group):
            self._words = words[len(jobs.MAIN) :]
            modes.append("eval" if "--mode=eval" in words else "train")

        def wait(self):
            return main.main(self._words)

    def experiment():
        modes.clear()
        assert command.main(arguments) == 0
        assert "| baseline " in capfd.readouterr().out.split("| evaluated ")[1]
        return modes

    toy.install(monkeypatch)
    world.prepare("toy")
    monkeypatch.setattr(jobs, "subprocess", types.SimpleNamespace(Popen=Child))
    file = world.folder / "toy.toml"
    file.write_text(TOY.format(config=ROOT / "tests/support/toy_recipe.py"))
    arguments = [f"--table={file}", f"--workdir={world.workdir}"]
    assert experiment() == ["train", "eval"]
    table = tablefile.read_table(str(file))
    [job] = make_plan(table.config, table.rows, table.seeds, [], world.workdir)
    assert main.main(job.arguments) == 0  # there is nothing left to train
    assert experiment() == []
