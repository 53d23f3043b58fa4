"""Experiments: what is run and compared; `test_going_on` has what comes after."""

import pathlib
import shutil
import sys

import pytest

from qcs_jax.evaluate.runs import RunFolder
from qcs_jax.experiment import __main__ as command
from qcs_jax.experiment import curve, tablefile
from qcs_jax.experiment.plan import make_plan

ROOT = pathlib.Path(__file__).parents[2]
DEMO = str(ROOT / "configs" / "demo.py")
RAF = str(ROOT / "configs" / "raf.py")
FAKE_MAIN = str(ROOT / "tests" / "support" / "fake_main.py")


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

    def draw(sweep, shown, folder):
        drawn.append((sweep.values, sweep.at, shown["variant"].tolist()))

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
    assert isinstance(job.run(), RunFolder) and job.run().finished and job.finished
    assert job.state == "finished"
