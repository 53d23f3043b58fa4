"""The command as users type it, on the small network and a data set in memory."""

import json
import os
import pathlib

import jax
import manuals
import numpy as np
import pytest
import toy

from qcs_jax.benchmark import programs, report, subject
from qcs_jax.benchmark.__main__ import main
from qcs_jax.benchmark.programs import Limits, Program
from qcs_jax.benchmark.subject import REACHED, STEP_FLOPS, Subject
from qcs_jax.config import flags
from qcs_jax.input import sources
from qcs_jax.input.pipeline import steps_per_epoch
from qcs_jax.system.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
MANUAL = ROOT / "qcs_jax" / "benchmark" / "README.md"
RECIPE = f"--config={ROOT / 'tests/support/toy_recipe.py'}"
OPEN_SPLIT = sources.open_split


@pytest.fixture(autouse=True)
def small_world(monkeypatch):
    """Compiling is slow: one precision and one number of images, unless a test says."""
    toy.install(monkeypatch)
    monkeypatch.setattr(programs, "_SIDE_ON_CPU", 64)
    monkeypatch.setattr(report, "DTYPES", ("float32",))
    monkeypatch.setattr(report, "_INPUT_LIMITS", Limits(3, 10.0))
    monkeypatch.setattr(subject, "BATCHES", (2,))
    jax.config.update("jax_disable_most_optimizations", True)  # compiles in less time
    with jax.numpy_dtype_promotion("standard"):  # Flax's norms need it for bfloat16
        yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def run(capsys):
    """Types the command with the recipe of the toy; returns what it prints as JSON."""

    def run(*arguments):
        assert main([RECIPE, "--steps=2", "--json", *arguments]) == 0
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def counted(monkeypatch):
    """Instead of a count, which is tested by itself."""
    monkeypatch.setattr(Subject, "count", lambda _: {STEP_FLOPS: 3.0})


@pytest.fixture
def events():
    """Whether programs were found in the persistent cache: "hits" and "misses"."""
    events = []

    def listen(event, **_):
        if event.startswith("/jax/compilation_cache/cache_"):
            events.append(event.rpartition("_")[2])

    jax.monitoring.register_event_listener(listen)
    yield events
    jax.monitoring.clear_event_listeners()


def test_train(run, counted):
    measured = run()
    about = measured["about"]
    assert (about["mode"], about["configuration"]) == ("train", "toy")
    assert about["anchors in a step"] == about["images in a step"] == 8
    assert about["devices"] == "8 x cpu"
    [(dtype, rows)] = measured["measured"].items()
    assert (dtype, rows["step: times measured"]) == ("float32", 2)
    median = rows["step: median, ms"]
    assert rows["step: images/s"] == pytest.approx(8e3 / median)
    assert rows[REACHED] == pytest.approx(3e3 / median)
    cold, cached = (
        rows[f"compile: XLA, {x}, ms"] for x in ("empty cache", "from the cache")
    )
    assert cold > cached > 0 < rows["compile: trace, ms"]
    peak = rows["GFLOP/s of a product of matrices"]
    assert rows["reached, of that, %"] == pytest.approx(100 * rows[REACHED] / peak)
    assert "memory: peak, by the device, MB" not in rows  # CPUs do not count
    process = rows["memory: peak of the process, RSS, MB"]
    assert 0 < rows["memory: largest program, XLA, MB"] < process
    decoded = measured["input"]
    rate = decoded["input: images"] / decoded["input: s"]
    assert decoded["input: images/s"] == pytest.approx(rate)
    (note,) = measured["notes"]
    assert note.startswith("float32: The ") and "is the bottleneck" in note
    text = report.as_text(measured)
    for part in (*about, *rows, *decoded, "toy", "8 x cpu", note):
        assert part in text


def test_infer(run, monkeypatch, events):
    """The first of two calls compiles; the second reads from the cache, and no more."""
    monkeypatch.setattr(report, "DTYPES", ("bfloat16", "float32"))
    looked_up, time_calls = [], subject.time_calls

    def timed(call, limits):
        if limits.steps > 1:
            return time_calls(call, limits)
        events.clear()
        call()
        looked_up.append("misses" if "misses" in events else events[0])
        return [10.0 * len(looked_up)]

    monkeypatch.setattr(subject, "time_calls", timed)
    measured = run("--mode=infer")["measured"]
    assert looked_up == ["misses", "hits"] * 2
    assert list(measured) == ["float32", "bfloat16"]
    for first, rows in zip((30, 10), measured.values(), strict=True):
        assert rows["2 at a time: first call, empty cache, ms"] == 1e3 * first
        assert rows["2 at a time: first call, from the cache, ms"] == 1e3 * (first + 10)
        rate = rows["2 at a time: images/s"]
        assert rate == pytest.approx(2e3 / rows["2 at a time: median, ms"])
        assert rows[REACHED] == pytest.approx(rows["GFLOP of an image"] * rate)


def test_input_and_a_data_set_that_is_not_prepared(
    run, counted, monkeypatch, tmp_path, capsys
):
    measured = run("--mode=input")
    assert not measured["measured"] and measured["input"]["input: images/s"] > 0
    assert main([RECIPE, "--config.train.batch_size=9"]) == 1
    assert "train.batch_size=9 cannot be split" in capsys.readouterr().err
    monkeypatch.setattr(sources, "open_split", OPEN_SPLIT)
    fields = "--config.data.name=raf_db", f"--config.data.dir={tmp_path}"
    assert main([RECIPE, *fields, "--mode=input"]) == 1
    error = "error: data set 'raf_db' is not prepared"
    assert capsys.readouterr().err.startswith(error)
    assert main([RECIPE, *fields, "--mode=count"]) == 0
    printed = capsys.readouterr().out
    (note,) = [x for x in printed.splitlines() if x.startswith("note: ")]
    assert "7 classes are assumed" in note and "qcs-jax prepare raf_db" in note
    assert STEP_FLOPS in printed


def count(batch=8, **fields):
    """Operations of the programs of a step."""
    config = toy.config(**{"train.batch_size": batch, **fields})
    step, *programs = Subject(config, 3).count().items()
    assert step == (STEP_FLOPS, pytest.approx(sum(x for _, x in programs)))
    return {name.removeprefix("GFLOP: "): x for name, x in programs}


def test_operations_double_with_the_batch_and_with_the_second_pass():
    two = count(8)
    assert list(two) == ["prepare", "gradient", "climb", "update"]
    one = count(4, **{"optimizer.rho": 0.0})
    assert list(one) == ["prepare", "gradient", "update"]
    assert two["prepare"] == pytest.approx(2 * one["prepare"], rel=0.01)
    assert two["gradient"] == pytest.approx(4 * one["gradient"], rel=0.01)
    x = jax.ShapeDtypeStruct((64, 64), np.float32)
    product = Program("product", jax.jit(lambda a, b: a @ b), (x, x), calls=3)
    assert product.flops() == 3 * 2 * 64**3


def test_programs_are_compiled_then_read_back_and_no_trace_is_left(events):
    before = jax.config.jax_compilation_cache_dir
    x = np.ones(8, np.float32)
    program = Program("sum", jax.jit(lambda x: np.float32(3.21) * x.sum()), (x,))
    with programs.empty_cache() as folder:
        programs.compile_twice([program])
        assert len([x for x in os.listdir(folder) if x.endswith("-cache")]) == 1
        program.function(*program.args)  # what is run was not compiled once more
    assert events.count("hits") and events.count("misses") == 1
    assert jax.config.jax_compilation_cache_dir == before
    assert not os.path.exists(folder)


def test_the_bottleneck_and_the_speed():
    fast, slow = (report.bottleneck(x, 100.0, workers=0) for x in (500.0, 50.0))
    assert fast.startswith("The step is the bottleneck") and "5.0 times the 100" in fast
    assert slow.startswith("The input is the bottleneck") and "50% of the 100" in slow
    rows = programs.speed("step", [0.1, 0.2, 0.3], images=6)
    assert list(rows.values()) == pytest.approx([3, 200, 120, 280, 30])
    assert Limits(3, 1.0).reached(1, began=-1e9)
    assert [Limits(3, 1e12).reached(x, began=-1e9) for x in (2, 3)] == [False, True]


@pytest.mark.parametrize(
    "words", manuals.commands(MANUAL, "qcs-jax benchmark"), ids=" ".join
)
def test_commands_of_the_manual(words, monkeypatch):
    """What they measure is tested above."""

    def create(mode, config, limits):
        assert f"--mode={mode}" in (*words, "--mode=train")
        assert config.name.startswith(pathlib.Path(words[0].partition(":")[0]).stem)
        raise UserError("that is enough")

    monkeypatch.setattr(report, "create", create)
    monkeypatch.chdir(ROOT)
    assert main(words) == 1


TIME = (CONFIGS / "README.md").read_text("utf-8").split("## Time\n")[1].split("## ")[0]
HOURS = [
    [cell.strip(" `") for cell in line.strip("|").split("|")]
    for line in TIME.splitlines()
    if line.startswith("| `")
]
IMAGES = {"raf": 12271, "ferplus": 25060, "affectnet7": 283901, "affectnet8": 287651}
PEAKS = [35.6, 71.0, 494.7, 989.0, 197.0, 197.0]  # TFLOP/s, of which 30 % are reached


def test_the_table_of_hours_has_all_recipes_and_what_its_own_columns_give():
    recipes = {row[0] for row in HOURS}
    assert recipes == {f"{name}.py:{v}" for name in IMAGES for v in ("dcs", "qcs")}
    for recipe, steps, teraflops, *hours in HOURS:
        c = flags.read_config(str(CONFIGS / recipe), [])
        images = IMAGES[recipe.partition(".")[0]]
        epoch = steps_per_epoch(images, c.train.batch_size, c.data.epoch_fraction)
        assert steps == f"{epoch * c.train.epochs:,}"
        work = epoch * c.train.epochs * float(teraflops) / 3600
        shown = [float(x) for pair in hours for x in pair.split(",")]
        expected = [work / (0.3 * peak) for peak in PEAKS]
        assert shown == pytest.approx(expected, rel=0.06), recipe
