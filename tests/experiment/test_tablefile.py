"""Files of tables: what they say, and what is told of those that say nonsense."""

import numpy as np
import pytest

from qcs_jax.config import FIELDS
from qcs_jax.config.flags import read_config
from qcs_jax.evaluate import paired
from qcs_jax.evaluate.evidence import Evidence
from qcs_jax.evaluate.lines import Line
from qcs_jax.experiment import curve, tablefile
from qcs_jax.experiment.rows import Sweep
from qcs_jax.figures import experiments
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
        return tablefile.read(str(tmp_path / "mine.toml"))

    return read


def test_a_table_of_ones_own(read):
    table = read(MINE)
    assert (table.config, table.seeds, table.sweep) == ("demo", (3, 4), None)
    assert table.against == "plain Adam"  # what tables call the row
    assert [row.label for row in table.rows] == ["plain Adam", "sam"]
    assert table.rows[1].fields == {
        "train.epochs": "2",
        "optimizer.rho": "0.05",
        "augment.erase_area": "(0.1, 0.2)",
    }


def test_the_command_line_takes_every_kind_of_value(read):
    text = """
[[row]]
name = "all"
fields.model.grey = true
fields.train = { epochs = 2, tensorboard = false }
fields.optimizer.rho = 1
fields.augment.erase_area = [0.1, 0.2]
fields.data.name = "a/b"
"""
    [row] = read(text).rows
    config = read_config("demo", row.overrides())
    assert config.model.grey is True and config.train.tensorboard is False
    assert (config.train.epochs, config.optimizer.rho) == (2, 1.0)
    assert config.augment.erase_area == (0.1, 0.2)
    assert config.data.name == "a/b"


def test_a_sweep_has_all_rows_for_each_value(read):
    table = read(MINE + SWEEP)
    assert [(row.name, row.setting) for row in table.rows] == [
        ("0.25/adam", "data.train_fraction=0.25"),
        ("0.25/sam", "data.train_fraction=0.25"),
        ("1/adam", "data.train_fraction=1"),
        ("1/sam", "data.train_fraction=1"),
    ]
    assert table.rows[2].fields["data.train_fraction"] == "1"
    assert (table.sweep.at, table.sweep.axis) == ((0.25, 1), "data.train_fraction")


def test_swept_names_stand_side_by_side_unless_told_where(read):
    names = '\n[sweep]\nfield = "data.name"\nvalues = ["a/x", "a/y"]\n'
    table = read(MINE + names)
    assert (table.sweep.at, table.sweep.numbered) == ((0, 1), False)
    assert [row.setting for row in table.rows] == [""] * 4  # tables name the data set
    assert [row.name for row in table.rows][::2] == ["a_x/adam", "a_y/adam"]
    table = read(MINE + names + 'at = [0.0, 0.9]\naxis = "rho"\n')
    assert (table.sweep.at, table.sweep.numbered) == ((0.0, 0.9), True)
    assert table.sweep.axis == "rho"


@pytest.mark.parametrize("name", tablefile.BUILT_IN)
def test_tables_that_come_along(name):
    table = tablefile.read(name)
    assert table.about and table.against in [row.label for row in table.rows]
    of_rows = [frozenset(row.fields.items()) for row in table.rows]
    assert len(set(of_rows)) == len(of_rows), "two rows are the same"
    assert all(row.fields.keys() <= FIELDS.keys() for row in table.rows)


@pytest.mark.parametrize(
    "text, message",
    [
        ("rows = ", "mine.toml: Invalid value"),
        ("", "no [[row]]"),
        (MINE + "[[row]]\n", "row 3: name = ''"),
        ("colour = 1\n" + MINE, "the file has 'colour', which is none of"),
        (MINE.replace('"sam"', '"adam"'), "two rows have the name 'adam'"),
        (MINE.replace('"sam"', '"plain Adam"'), "letters, digits"),
        (MINE.replace('"sam"', '"../sam"'), "letters, digits"),
        (MINE.replace("plain Adam", "sam"), "two rows have the label 'sam'"),
        (MINE.replace("= \"adam\"\nfields", "= \"sgd\"\nfields"), "'sgd' is no name"),
        (MINE.replace("rho = 0.0", "row = 0.0"), "there is no field optimizer.row"),
        (MINE.replace("train.epochs", "seed"), "give seeds = [0, 1, 2]"),
        (MINE.replace("train.epochs", "optimizer.rho"), "which is set already"),
        (MINE.replace("[3, 4]", "[3, 3]"), "seeds are to be numbers, each once"),
        (MINE.replace("[3, 4]", "3"), "seeds = 3 is not what is expected"),
        (MINE + SWEEP.replace("[0.25, 1]", "[]"), "values are to be some"),
        (MINE + SWEEP.replace("0.25", "1"), "all of them different"),
        (MINE + SWEEP.replace("train_fraction", "x"), "'data.x' is none that can"),
        (MINE + SWEEP.replace("data.train_fraction", "seed"), "none that can be swept"),
        (MINE + SWEEP + "at = [1]\n", "a number for every value"),
        (MINE + SWEEP + "by = 2\n", "[sweep] has 'by'"),
        (MINE + SWEEP.replace("data.train_fraction", "train.epochs"), "is swept"),
        (
            MINE + SWEEP.replace("data.train_fraction", "optimizer.rho"),
            "row 'adam' sets optimizer.rho, which is set already",
        ),
    ],
)  # fmt: skip
def test_mistakes(read, text, message):
    with pytest.raises(UserError) as error:
        read(text)
    assert message in str(error.value) and "--table=" in str(error.value)


@pytest.mark.parametrize("name", ["nothing", "nothing.toml", "3"])
def test_no_such_table(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="networks or a .toml file"):
        tablefile.read(name)


def test_a_folder_or_bytes_are_no_table(tmp_path):
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    for name in (tmp_path, tmp_path / "x.toml"):
        with pytest.raises(UserError, match="--table="):
            tablefile.read(str(name))


def line(label, share, rng):
    correct = rng.random((3, 100)) < share
    evidence = Evidence((0, 1, 2), paired.accuracy(correct))
    return Line(
        "toy", "", label, (0, 1, 2), {}, {}, None, chance=0.5, evidence=evidence
    )


def test_the_curve_of_a_sweep(read, tmp_path, monkeypatch):
    drawn, draw = [], experiments.sweep
    monkeypatch.setattr(
        experiments,
        "sweep",
        lambda variants, *more: drawn.extend(variants) or draw(variants, *more),
    )
    sweep = read(MINE + SWEEP).sweep
    rng = np.random.default_rng(0)
    lines = [line("a", 0.8, rng), line("b", 0.6, rng), None, line("b", 0.5, rng)]
    file = curve.draw(sweep, lines, tmp_path)
    assert file.read_bytes()[:4] == b"\x89PNG" and (tmp_path / "sweep.pdf").exists()
    assert [(x, columns["at"]) for x, columns in drawn] == [
        ("a", [0.25]),
        ("b", [0.25, 1]),
    ]


def test_the_curve_goes_from_left_to_right(read, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(experiments, "sweep", lambda x, *_: drawn.extend(x))
    monkeypatch.setattr(curve.style, "save", lambda *_: [tmp_path / "sweep.png"])
    sweep = Sweep("data.train_fraction", (0.5, 1, 0.2), (0.5, 1, 0.2), True, "part")
    rng = np.random.default_rng(0)
    curve.draw(sweep, [line(x, 0.5, rng) for x in "aaa"], tmp_path)
    assert [columns["at"] for _, columns in drawn] == [[0.2, 0.5, 1]]


def test_no_curve_of_a_single_value(read, tmp_path):
    sweep = read(MINE + SWEEP).sweep
    rng = np.random.default_rng(0)
    for first in (line("a", 0.8, rng), None):
        assert curve.draw(sweep, [first, None, None, None], tmp_path) is None
    assert not (tmp_path / "sweep.png").exists()
