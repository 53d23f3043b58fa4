"""Experiments: what is run and compared; `test_going_on` has what comes after."""

import pathlib
import shutil

import pytest

from qcs_jax.experiment import __main__ as command
from qcs_jax.experiment import sweep

ROOT = pathlib.Path(__file__).parents[2]
DEMO = str(ROOT / "configs" / "demo.py")
RAF = str(ROOT / "configs" / "raf.py")


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
    monkeypatch.setattr(sweep, "draw", draw)
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
    world.prepare("ferplus")
    world.prepare("raf_db")
    assert world.experiment(extra, seeds="0")[0] == 0
    shutil.rmtree(world.folder / "datasets")  # what is finished needs none
    assert world.experiment(extra, seeds="0")[0] == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--seeds=0,a"], "give numbers such as 0,1,2"),
        (["--seeds=0,1,0"], "each once"),
        (["--seeds=-1"], "seed=-1"),
        (["--config=configs/nothing.py"], "there is no file configs/nothing.py"),
        (["--config.seed=1"], "--seeds=0,1,2"),
        (["--config.model.name=dcs"], "the rows of the table set this"),
        (["--config.model.gama=1"], 'mean "gamma" instead'),
        (["--config.model.size=huge"], "choose from full, small"),
        ([f"--config={RAF}:vgg"], "no variant"),
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


@pytest.mark.parametrize("text", ["--epochs=3", "--config.train.epochs", "extra"])
def test_unknown_arguments(text, capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["--table=1", "--workdir=x", text])
    assert text in capsys.readouterr().err
