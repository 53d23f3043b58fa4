"""Tables: what their files say, and which runs, configured how, they are."""

import json
import pathlib
import re

import manuals
import numpy as np
import pandas as pd
import pytest

from qcs_jax.evaluate import published
from qcs_jax.experiment import __main__ as command
from qcs_jax.experiment import tablefile
from qcs_jax.experiment.jobs import make_plan
from qcs_jax.figures import charts
from qcs_jax.system.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
DEMO = str(ROOT / "configs" / "demo.py")
RAF = str(ROOT / "configs" / "raf.py")
MINE = """
about = "Does SAM help?"
config = "demo"
seeds = [3, 4]
against = "adam"
fields.train.epochs = 2

[[row]]
name = "adam"
label = "plain Adam"
fields.optimizer.rho = 0.0

[[row]]
name = "sam"
fields = { "optimizer.rho" = 0.05, augment.erase_area = [0.1, 0.2] }
"""
SWEEP = """
[sweep]
field = "data.train_fraction"
values = [0.25, 1]
"""


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "mine.toml").write_text(text)
        return tablefile.read_table(str(tmp_path / "mine.toml"))

    return read


def test_a_table_of_ones_own(read):
    table = read(MINE)
    assert (table.config, table.seeds, table.sweep) == ("demo", (3, 4), None)
    assert table.against == "plain Adam"  # what tables call the row
    assert [row.label for row in table.rows] == ["plain Adam", "sam"]
    # A row goes before what all rows have.
    table = read(MINE.replace("optimizer.rho = 0.0", "train.epochs = 5"))
    assert [row.fields["train.epochs"] for row in table.rows] == ["5", "2"]


def test_the_command_line_takes_every_kind_of_value(read, tmp_path):
    fields = {"model.grey": True, "train.epochs": 2, "train.tensorboard": False}
    fields |= {"optimizer.rho": 1, "augment.erase_area": [0.1, 0.2], "data.name": "a/b"}
    lines = [f"fields.{name} = {json.dumps(value)}" for name, value in fields.items()]
    rows = read("\n".join(["[[row]]", 'name = "all"', *lines])).rows
    [job] = make_plan("demo", rows, [0], [], tmp_path)
    assert {name: job.config[name] for name in fields} == fields


def test_a_sweep_has_all_rows_for_each_value(read):
    table = read(MINE + SWEEP)
    names = [row.name for row in table.rows]
    assert names == ["0.25/adam", "0.25/sam", "1/adam", "1/sam"]
    assert table.rows[2].fields["data.train_fraction"] == "1"
    assert (table.sweep.at, table.sweep.axis) == ((0.25, 1), "data.train_fraction")
    # Names stand side by side unless the table says where.
    names = '\n[sweep]\nfield = "data.name"\nvalues = ["a/x", "a/y"]\n'
    table = read(MINE + names)
    assert (table.sweep.at, table.sweep.numbered) == ((0, 1), False)
    assert [row.name for row in table.rows][::2] == ["a_x/adam", "a_y/adam"]
    table = read(MINE + names + 'at = [0.0, 0.9]\naxis = "rho"\n')
    assert (table.sweep.at, table.sweep.numbered) == ((0.0, 0.9), True)
    assert table.sweep.axis == "rho"


@pytest.mark.parametrize("name", tablefile.BUILT_IN)
def test_tables_that_come_along(name):
    table = tablefile.read_table(name)
    assert table.about and table.against in [row.label for row in table.rows]
    of_rows = [frozenset(row.fields.items()) for row in table.rows]
    assert len(set(of_rows)) == len(of_rows), "two rows are the same"


@pytest.mark.parametrize(
    "text, message",
    [
        ("rows = ", "mine.toml: Invalid value"),
        ("", "no [[row]]"),
        (MINE + "[[row]]\n", "row 3: name = ''"),
        ("colour = 1\n" + MINE, "the file has 'colour', which is none of"),
        (MINE.replace('"sam"', '"adam"'), "two rows have the name 'adam'"),
        (MINE.replace('"sam"', '"../sam"'), "letters, digits"),
        (MINE.replace("plain Adam", "sam"), "two rows have the label 'sam'"),
        (MINE.replace("= \"adam\"\nfields", "= \"sgd\"\nfields"), "'sgd' is no name"),
        (MINE.replace("train.epochs", "seed"), "give seeds = [0, 1, 2]"),
        (MINE.replace("[3, 4]", "[3, 'a']"), "seeds are to be numbers"),
        (MINE.replace("[3, 4]", "3"), "seeds = 3 is not what is expected"),
        (MINE + "[sweep]\nvalues = [1, 2]\n", "[sweep]: give a field"),
        (MINE + SWEEP.replace("[0.25, 1]", "[]"), "[sweep]: give a field, and values"),
        (MINE + SWEEP.replace("0.25", "1"), "all of them different"),
        (MINE + SWEEP.replace("data.train_fraction", "seed"), "seed is no field"),
        (MINE + SWEEP + "at = [1]\n", "a number for every value"),
        (MINE + SWEEP.replace("data.train_fraction", "train.epochs"), "is swept"),
        (MINE + SWEEP.replace("data.train_fraction", "optimizer.rho"), "row 'adam'"),
        ("row = [3]", "row 1 = 3 is no table"),
    ],
)  # fmt: skip
def test_mistakes(read, text, message):
    with pytest.raises(UserError) as error:
        read(text)
    assert message in str(error.value) and "--table=" in str(error.value)


def test_no_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    for name, message in (("nothing", ".* pretrained or a .toml file"), ("x.toml", "")):
        with pytest.raises(UserError, match=f"--table={name}: {message}"):
            tablefile.read_table(name)


def test_the_curve_of_a_sweep_goes_from_left_to_right(tmp_path, monkeypatch):
    drawn, curves = {}, charts.sweep

    def keep(variants, *more):
        drawn.update((label, points["at"].tolist()) for label, points in variants)
        return curves(variants, *more)

    monkeypatch.setattr(charts, "sweep", keep)
    rows = [("a", 0.5, 80), ("a", 1, np.nan), ("b", 0.5, 60), ("b", 1, 50)]
    shown = pd.DataFrame([*rows, ("b", 0.2, 40)], columns=["variant", "at", "accuracy"])
    ends = [f"{kind}_{end}" for kind in ("images", "seeds") for end in ("low", "high")]
    shown = shown.assign(chance=50.0, **dict.fromkeys(ends, shown["accuracy"]))
    for few in (shown[:0], shown[:2]):  # no curve of a single value
        assert command.draw(few, "x", None, tmp_path) is None
    file = command.draw(shown, "x", None, tmp_path)
    assert file.read_bytes()[:4] == b"\x89PNG" and (tmp_path / "sweep.pdf").exists()
    assert drawn == {"a": [0.5], "b": [0.2, 0.5, 1]}


def plan(config=DEMO, table="networks", seeds=(0,), overrides=()):
    rows = tablefile.read_table(table).rows
    return make_plan(config, rows, seeds, overrides, pathlib.Path("none"))


def column(jobs, *fields):
    return [tuple(job.config[field] for field in fields) for job in jobs]


def test_each_network_gets_its_own_recipe_in_the_other_variants(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jobs = plan(seeds=(3, 5), overrides=["--config.optimizer.rho=0.1"])
    networks = ("baseline", "dcs", "qcs")
    assert column(jobs, "seed", "model.name", "optimizer.rho") == [
        (seed, name, 0.1) for seed in (3, 5) for name in networks
    ]
    assert jobs[4].workdir == pathlib.Path("none/dcs/seed5")
    for suffix in ("", ":qcs", ":dcs"):
        rates = column(plan(RAF + suffix), "optimizer.learning_rate")
        assert rates == [(9e-6,), (9e-6,), (4e-6,)]
    for suffix in (":qcs,tiny", ":tiny"):
        assert column(plan(RAF + suffix), "model.size") == [("tiny",)] * 3
    # By its name, it is the same recipe.
    named = plan("raf:qcs,tiny")
    assert [job.config for job in named] == [x.config for x in plan(RAF + ":qcs,tiny")]
    words = [job.arguments[0] for job in named]
    assert words == [f"--config=raf:{name},tiny" for name in networks]
    jobs = plan(RAF + ":qcs,finetune", table="2")
    assert column(jobs, "optimizer.learning_rate") == [(3e-6,)] * 3
    with pytest.raises(UserError, match="fine-tunes qcs alone"):
        plan(RAF + ":qcs,finetune")


FIELDS = ("name", "interaction", "connection", "information")
OF_THE_PAPER = {
    "networks": [
        (("baseline", "csa", "vit", "sd"), "none", 92.05),
        (("dcs", "csa", "vit", "sd"), "none", 92.57),
        (("qcs", "csa", "vit", "sd"), "none", 92.50),
    ],
    "1": [
        (("baseline", "csa", "vit", "sd"), "none", 92.05),
        (("dcs", "csa", "none", "sd"), "none", 91.98),
        (("dcs", "sdpa", "gap", "sd"), "none", 91.95),
        (("dcs", "csa", "gap", "sd"), "none", 92.14),
        (("dcs", "csa", "bilinear", "sd"), "none", 92.24),
        (("dcs", "csa", "vit", "sd"), "none", 92.57),
        (("dcs", "csa", "vit", "sd"), "kl", 92.21),
    ],
    "2": [
        (("qcs", "csa", "vit", "s"), "none", 92.18),
        (("qcs", "csa", "vit", "d"), "none", 92.11),
        (("qcs", "csa", "vit", "sd"), "none", 92.47),
    ],
}


@pytest.mark.parametrize("table", OF_THE_PAPER)
def test_the_rows_and_numbers_of_the_papers_tables(table):
    jobs, paper = plan(RAF, table), tablefile.read_table(table).paper
    networks = column(jobs, *(f"model.{field}" for field in FIELDS))
    losses = [job.config["loss.distillation"] for job in jobs]
    numbers = [published.find(job.config, paper).percent["raf_db"] for job in jobs]
    assert [*zip(networks, losses, numbers, strict=True)] == OF_THE_PAPER[table]


@pytest.mark.parametrize(
    "words",
    [
        words
        for manual in ("qcs_jax/experiment/README.md", "configs/README.md")
        for words in manuals.commands(ROOT / manual, "qcs-jax experiment")
    ],
    ids=" ".join,
)
def test_commands_of_the_manual(words, tmp_path, monkeypatch, capsys):
    """As far as they go where nothing is prepared."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    manual = (ROOT / "qcs_jax/experiment/README.md").read_text()
    mine = re.search(r"```toml\n(.*?)```", manual, re.DOTALL)[1]
    (tmp_path / "sam.toml").write_text(mine)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert command.main(words) == 1
    assert re.match(r"error: data set '\w+.*' is not prep", capsys.readouterr().err)
