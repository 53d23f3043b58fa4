"""Experiments: what is run, what is not run again, and what happens when one fails."""

import json
import os
import pathlib
import shutil
import signal
import sys
import time
import types

import pytest
import toy

from qcs_jax import main
from qcs_jax.compare.runs import Run
from qcs_jax.experiment import __main__ as command
from qcs_jax.experiment import curve, runner, tablefile
from qcs_jax.experiment.plan import make_plan

ROOT = pathlib.Path(__file__).parents[2]
DEMO = str(ROOT / "configs" / "demo.py")
RAF = str(ROOT / "configs" / "raf.py")
FAKE_MAIN = str(ROOT / "tests" / "support" / "fake_main.py")


class World:
    """A folder with experiments whose runs take no time, and with the demo's data."""

    def __init__(self, folder, capfd):
        self.folder = folder
        self.prepare("synthetic_faces/balanced")
        self.workdir = folder / "experiment"
        self._capfd = capfd
        self.behave({})

    def prepare(self, dataset):
        """What tells that a data set is prepared."""
        version = self.folder / "datasets" / dataset / "1.0.0"
        version.mkdir(parents=True)
        (version / "dataset_info.json").touch()

    def behave(self, behaviour):
        (self.folder / "behaviour.json").write_text(json.dumps(behaviour))

    def experiment(self, *more, config=DEMO, table="networks", seeds="0,1"):
        """Runs the command; returns its status, what it printed, and the calls."""
        calls = self.folder / "calls.txt"
        calls.write_text("")
        fixed = [*more, "--config.train.epochs=3"]
        self.write_configs(config, table, seeds, fixed)
        status = command.main(
            [f"--config={config}", f"--table={table}", f"--seeds={seeds}"]
            + [f"--workdir={self.workdir}", *fixed],
            program=[sys.executable, "-S", FAKE_MAIN, str(self.folder)],
        )
        return status, self._capfd.readouterr(), calls.read_text().splitlines()

    def write_configs(self, config, table, seeds, overrides):
        """For the child, which has no time to read configuration files."""
        elsewhere = self.folder / "elsewhere"  # where nothing is checked
        jobs = make_plan(
            config,
            tablefile.read(table).rows,
            map(int, seeds.split(",")),
            overrides,
            elsewhere,
        )
        configs = {
            str(self.workdir / job.workdir.relative_to(elsewhere)): job.config
            for job in jobs
        }
        (self.folder / "configs.json").write_text(json.dumps(configs))


@pytest.fixture
def world(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "datasets"))
    return World(tmp_path, capfd)


def test_runs_every_row_with_every_seed_and_compares(world):
    status, (out, _), calls = world.experiment()
    assert status == 0
    runs = [f"{r}/seed{s}" for s in (0, 1) for r in ("baseline", "dcs", "qcs")]
    assert calls == [f"{mode} {run}" for run in runs for mode in ("train", "eval")]
    assert "6 runs, 6 of them to be trained" in out
    assert "[6 of 6] qcs, seed 1" in out
    assert "30.00 ± 0.00 (2)" in out
    assert "30.00 ± 0.00 (2)" in (world.workdir / "comparison.md").read_text()
    assert (world.workdir / "comparison.csv").exists()


def test_the_table_has_the_seeds_of_earlier_calls(world):
    world.experiment(seeds="0,1")
    _, (out, _), _ = world.experiment(seeds="2")
    assert "30.00 ± 0.00 (3)" in out
    assert "30.00 ± 0.00 (3)" in (world.workdir / "comparison.md").read_text()


def test_rows_stay_in_the_order_of_the_table(world):
    _, (out, _), _ = world.experiment(table="2", seeds="0")
    places = [out.index(f"| qcs: {x} ") for x in ("S", "D", "SD")]
    assert places == sorted(places)


MINE = """
config = "{config}"
seeds = [0, 1]
against = "adam"
fields.train.epochs = 3

[[row]]
name = "adam"
fields.optimizer.rho = 0.0

[[row]]
name = "sam"
fields.optimizer.rho = 0.05

[sweep]
field = "data.train_fraction"
values = [0.5, 1]
"""


def test_a_table_of_ones_own(world, capfd):
    """Its own recipe and seeds, and a table and a folder for each swept value."""
    file = world.folder / "mine.toml"
    file.write_text(MINE.format(config=DEMO))
    arguments = [f"--table={file}", f"--workdir={world.workdir}"]
    program = [sys.executable, "-S", FAKE_MAIN, str(world.folder)]
    world.write_configs(DEMO, str(file), "0,1", [])
    assert command.main(arguments, program=program) == 0
    out = capfd.readouterr().out
    found = sorted(
        path.relative_to(world.workdir) for path in world.workdir.rglob("seed*")
    )
    rows = [f"{value}/{row}" for value in ("0.5", "1") for row in ("adam", "sam")]
    assert found == [pathlib.Path(f"{row}/seed{k}") for row in rows for k in (0, 1)]
    for value in ("0.5", "1"):
        heading = f"## synthetic_faces/balanced, data.train_fraction={value}"
        table = out[out.index(heading) :]
        assert table.index("| adam ") < table.index("| sam ")
    assert "drew" not in out  # nobody answered about images: there is no curve


def test_values_of_earlier_calls_stay(world, capfd, monkeypatch):
    file = world.folder / "mine.toml"
    program = [sys.executable, "-S", FAKE_MAIN, str(world.folder)]
    drawn = []

    def draw(sweep, lines, folder):
        drawn.append((sweep.values, sweep.at, [line and line.label for line in lines]))

    monkeypatch.setattr(curve, "draw", draw)

    def call(values, *more):
        table = MINE.format(config=DEMO).replace("[0.5, 1]", values)
        file.write_text(table)
        world.write_configs(DEMO, str(file), "0", more)
        arguments = [f"--table={file}", f"--workdir={world.workdir}", "--seeds=0"]
        assert command.main([*arguments, *more], program=program) == 0
        return capfd.readouterr().out

    rows = ["adam", "sam"]
    call("[0.5, 1]")
    out = call("[0.25]")
    assert "## synthetic_faces/balanced, data.train_fraction=0.5" in out
    assert "2 runs, 2 of them to be trained" in out
    call("[0.75]", "--config.train.batch_size=20")  # the others are no longer alike
    assert drawn == [
        ((0.5, 1), (0.5, 1), rows * 2),
        ((0.25, 0.5, 1.0), (0.25, 0.5, 1.0), rows * 3),
        ((0.75,), (0.75,), rows),
    ]


def test_no_recipe_or_no_seeds(world, capfd):
    for flag, message in (
        ("--seeds=0", "names no recipe"),
        (f"--config={DEMO}", "seeds"),
    ):
        assert command.main([flag, "--table=networks", "--workdir=x"]) == 1
        assert message in capfd.readouterr().err


def test_data_sets_that_are_not_prepared(world):
    """All of them are told before anything is trained, each once."""
    extra = "--config.data.extra=ferplus:fear+raf_db:fear"
    status, (out, err), calls = world.experiment(extra)
    assert (status, calls, out) == (1, [], "")
    assert err.count("is not prepared in") == 2
    assert "data set 'ferplus' is" in err and "data set 'raf_db' is" in err
    world.prepare("ferplus")
    world.prepare("raf_db")
    assert world.experiment(extra, seeds="0")[0] == 0
    shutil.rmtree(world.folder / "datasets")  # what is finished needs none
    assert world.experiment(extra, seeds="0")[0] == 0


def test_what_is_finished_is_not_run_again(world):
    world.experiment(seeds="0")
    status, (out, _), calls = world.experiment(seeds="0,1")
    assert status == 0
    assert len(calls) == 6 and all(call.endswith("seed1") for call in calls)
    assert "6 runs, 3 of them to be trained" in out
    assert world.experiment(seeds="0,1")[2] == []


def test_a_failing_run_is_reported_and_the_others_go_on(world):
    world.behave({"dcs/seed0": "train fails", "qcs/seed1": "train is killed"})
    status, (out, err), calls = world.experiment()
    assert status == 1
    assert len(calls) == 6 + 4
    assert f"{world.workdir / 'dcs/seed0'}: training ended with status 3" in err
    assert "qcs/seed1: training was killed by signal 9" in err
    assert "30.00 ± - (1)" in out  # of dcs, and the table is there
    world.behave({})
    status, _, calls = world.experiment()
    assert status == 0
    assert calls == [
        f"{mode} {run}"
        for run in ("dcs/seed0", "qcs/seed1")
        for mode in ("train", "eval")
    ]


@pytest.mark.parametrize(
    "behaviour, told",
    [
        ("eval fails", "evaluation ended with status 3"),
        ("eval finds damage", "evaluation was of another step"),
    ],
)
def test_a_failing_evaluation_is_tried_again(behaviour, told, world):
    world.behave({"dcs/seed0": behaviour})
    status, (_, err), _ = world.experiment(seeds="0")
    assert status == 1 and told in err
    world.behave({})
    status, (out, _), calls = world.experiment(seeds="0")
    assert (status, calls) == (0, ["eval dcs/seed0"])
    assert "finished, to be evaluated" in out


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


def test_killed_between_the_last_evaluation_and_its_checkpoint(world):
    world.experiment(seeds="0")
    os.rmdir(world.workdir / "qcs/seed0/checkpoints/30")
    assert world.experiment(seeds="0")[2][0] == "train qcs/seed0"


@pytest.mark.parametrize("changed", ["scores", "step", "no evaluation"])
def test_evaluated_again_after_another_training(changed, world):
    world.experiment(seeds="0")
    path = world.workdir / "qcs/seed0/metrics.json"
    measured = json.loads(path.read_text())
    if changed == "scores":
        measured["scores"]["last epoch"]["accuracy"] += 1e-9
    elif changed == "step":
        measured["step"] = 20
    path.write_text("[]" if changed == "no evaluation" else json.dumps(measured))
    assert world.experiment(seeds="0")[2] == ["eval qcs/seed0"]


def test_another_configuration_does_not_pass_for_this_one(world):
    world.experiment(seeds="0")
    status, (out, err), calls = world.experiment(
        "--config.optimizer.rho=0.5", "--config.model.gamma=2.0", seeds="0"
    )
    assert (status, calls) == (1, [])
    assert "optimizer.rho was 0.05, is now 0.5" in err
    assert "model.gamma was 1.0, is now 2.0" in err
    assert "seed" not in err.split("configuration:")[1].split("Give")[0]
    harmless = ["--config.train.log_every=7", "--config.data.workers=1"]
    assert world.experiment(*harmless, seeds="0")[0] == 0


def test_runs_that_saved_nothing_may_be_changed(world):
    rows = ("baseline", "dcs", "qcs")
    world.behave({f"{row}/seed0": "train fails" for row in rows})
    assert world.experiment(seeds="0")[0] == 1
    assert (world.workdir / "qcs/seed0/config.json").exists()
    world.behave({})
    status, _, calls = world.experiment("--config.model.gamma=2.0", seeds="0")
    assert status == 0
    assert len(calls) == 6


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(seeds="0,a"), "give numbers such as 0,1,2"),
        (dict(seeds="0,1,0"), "each seed once"),
        (dict(seeds="-1"), "seed=-1"),
        (dict(config="configs/nothing.py"), "there is no file configs/nothing.py"),
        (dict(config="configs/nothing.py:qcs"), "there is no file configs/"),
        (dict(config=DEMO, more=["--config.seed=1"]), "--seeds=0,1,2"),
        (dict(more=["--config.model.name=dcs"]), "the rows of the table set this"),
        (dict(more=["--config.model.gama=1"]), 'mean "gamma" instead'),
        (dict(more=["--config.train.epochs=many"]), "invalid literal"),
        (dict(more=["--config.model.size=huge"]), "choose from full, small"),
        (dict(config=RAF + ":vgg"), "no variant"),
        (dict(config=DEMO + ":qcs,tiny"), "no variant"),
        (dict(config="plain.py"), "takes no variant"),
    ],
    ids=str,
)
def test_mistakes(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.py").write_text("def get_config(): ...")
    arguments = {"config": DEMO, "seeds": "0", "more": [], **arguments}
    more = arguments.pop("more")
    flags = [f"--{name}={value}" for name, value in arguments.items()]
    assert command.main([*flags, "--table=networks", "--workdir=x", *more]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("text", ["--epochs=3", "--config.train.epochs", "extra"])
def test_unknown_arguments(text, capsys):
    fixed = [f"--config={DEMO}", "--table=1", "--seeds=0", "--workdir=x"]
    with pytest.raises(SystemExit) as ended:
        command.main([*fixed, text])
    assert ended.value.code == 2
    assert text in capsys.readouterr().err


def test_a_job_reads_what_compare_reads(world):
    world.experiment(seeds="0")
    [job] = make_plan(
        DEMO,
        tablefile.read("networks").rows[:1],
        [0],
        ["--config.train.epochs=3"],
        world.workdir,
    )
    assert isinstance(job.run(), Run) and job.run().finished and job.finished
    assert job.state == "finished"


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
            self._words = words[len(runner.MAIN) :]
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
    monkeypatch.setattr(runner, "subprocess", types.SimpleNamespace(Popen=Child))
    file = world.folder / "toy.toml"
    file.write_text(TOY.format(config=ROOT / "tests/support/toy_recipe.py"))
    arguments = [f"--table={file}", f"--workdir={world.workdir}"]
    assert experiment() == ["train", "eval"]
    table = tablefile.read(str(file))
    [job] = make_plan(table.config, table.rows, table.seeds, [], world.workdir)
    assert main.main(job.arguments) == 0  # there is nothing left to train
    assert experiment() == []
