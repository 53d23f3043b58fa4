"""Files of tables: what they say, and what is wrong with those that are none."""

import json

import numpy as np
import pandas as pd
import pytest

from qcs_jax.experiment import sweep, tablefile
from qcs_jax.experiment.jobs import make_plan
from qcs_jax.figures import charts
from qcs_jax.system.errors import UserError

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
        (MINE.replace("rho = 0.0", "row = 0.0"), "there is no field optimizer.row"),
        (MINE.replace("train.epochs", "seed"), "give seeds = [0, 1, 2]"),
        (MINE.replace("[3, 4]", "[3, 'a']"), "seeds are to be numbers"),
        (MINE.replace("[3, 4]", "3"), "seeds = 3 is not what is expected"),
        (MINE + SWEEP.replace("[0.25, 1]", "[]"), "values are to be some"),
        (MINE + SWEEP.replace("0.25", "1"), "all of them different"),
        (MINE + SWEEP.replace("train_fraction", "x"), "'data.x' is none that can"),
        (MINE + SWEEP.replace("data.train_fraction", "seed"), "none that can be swept"),
        (MINE + SWEEP + "at = [1]\n", "a number for every value"),
        (MINE + SWEEP + "by = 2\n", "[sweep] has 'by'"),
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
    for name in ("nothing", "nothing.toml", "3", ".", "x.toml"):
        of_none = "" if name == "x.toml" else ".* networks or a .toml file"
        with pytest.raises(UserError, match=f"--table={name}: {of_none}"):
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
        assert sweep.draw(few, "x", None, tmp_path) is None
    file = sweep.draw(shown, "x", None, tmp_path)
    assert file.read_bytes()[:4] == b"\x89PNG" and (tmp_path / "sweep.pdf").exists()
    assert drawn == {"a": [0.5], "b": [0.2, 0.5, 1]}
