"""The command as users type it, on the small network and a data set in memory."""

import json
import os
import pathlib

import jax
import manuals
import numpy as np
import pytest
import toy

from qcs_jax.benchmark import device, programs, report, subject
from qcs_jax.benchmark.__main__ import main
from qcs_jax.benchmark.programs import Limits, Program
from qcs_jax.benchmark.subject import Subject
from qcs_jax.config import flags
from qcs_jax.input.pipeline import steps_per_epoch
from qcs_jax.system.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
MANUAL = ROOT / "qcs_jax" / "benchmark" / "README.md"
RECIPE = f"--config={ROOT / 'tests/support/toy_recipe.py'}"
KEYS = {
    *("mode", "name", "network", "batch", "devices", "training", "inference"),
    *("flops", "input", "bottleneck", "notes"),
}


@pytest.fixture(autouse=True)
def small_world(monkeypatch):
    toy.install(monkeypatch)
    monkeypatch.setattr(device, "_SIDE_ON_CPU", 64)
    monkeypatch.setattr(subject, "BATCHES", (1, 2))
    jax.config.update("jax_disable_most_optimizations", True)  # compiles in less time
    with jax.numpy_dtype_promotion("standard"):  # Flax's norms need it for bfloat16
        yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def run(capsys):
    """Types the command with the recipe of the toy; returns its standard output."""

    def run(*arguments):
        assert main([RECIPE, "--steps=2", *arguments]) == 0
        return capsys.readouterr().out

    return run


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


def test_train(run, monkeypatch):
    # Compiling is slow: that there are two precisions, the other modes show.
    monkeypatch.setattr(report, "DTYPES", ("float32",))
    measured = json.loads(run("--json"))
    assert measured.keys() == KEYS
    assert (measured["mode"], measured["name"]) == ("train", "toy")
    assert measured["batch"] == {"anchors": 8, "images": 8}
    assert measured["devices"]["count"] == 8
    assert not measured["notes"] and not measured["inference"]
    [(dtype, x)] = measured["training"].items()
    speed = x["speed"]
    assert (dtype, speed["steps"]) == ("float32", 2)
    assert speed["images_per_second"] == pytest.approx(8 / speed["median"])
    compilation = x["compilation"]
    assert compilation["cold"] > compilation["cached"] > 0 < compilation["trace"]
    total = sum(x["flops"].values())
    assert measured["flops"] == {"float32": pytest.approx(total)}
    assert x["flops_per_second"] == pytest.approx(total / speed["median"])
    assert x["compiled_flops"] == pytest.approx(total, rel=0.3)
    peak = x["matmul"]["flops_per_second"]
    assert x["matmul"]["reached"] == pytest.approx(x["flops_per_second"] / peak)
    assert x["memory"]["peak"] is None  # CPUs do not count
    assert 0 < x["memory"]["programs"] < x["memory"]["process"]
    assert "is the bottleneck" in measured["bottleneck"]["float32"]
    text = report.as_text(measured)
    assert text.startswith("toy, --mode=train: baseline, tiny")
    for part in ("XLA, empty cache", "images/s", "is the bottleneck", "RSS", "climb"):
        assert part in text
    assert "by the device" not in text
    assert max(map(len, text.splitlines())) < 200


def test_infer(run, monkeypatch, events):
    """The first of two calls compiles; the second reads from the cache, and no more."""
    looked_up, time_calls = [], subject.time_calls

    def timed(call, limits):
        if limits.steps > 1:
            return time_calls(call, limits)
        events.clear()
        call()
        looked_up.append("misses" if "misses" in events else events[0])
        return [10.0 * len(looked_up)]

    monkeypatch.setattr(subject, "time_calls", timed)
    measured = json.loads(run("--mode=infer", "--json"))
    assert looked_up == ["misses", "hits"] * 4
    assert measured.keys() == KEYS
    assert measured["inference"].keys() == {"float32", "bfloat16"}
    first = []
    for x in measured["inference"].values():
        assert [call["batch"] for call in x["calls"]] == [1, 2]
        for call in x["calls"]:
            rate = call["speed"]["images_per_second"]
            assert rate == pytest.approx(call["batch"] / call["speed"]["median"])
            assert call["flops_per_second"] == pytest.approx(x["flops"] * rate)
            first += [call["first_cold"], call["first_cached"]]
    assert first == sorted(first) and len(set(first)) == 8
    text = report.as_text(measured)
    assert "2 at a time" in text and "first call, from the cache" in text


def test_input(run, capsys):
    measured = json.loads(run("--mode=input", "--json"))
    assert not measured["training"]
    decoded = measured["input"]
    rate = decoded["images"] / decoded["seconds"]
    assert decoded["images_per_second"] == pytest.approx(rate)
    assert "input pipeline alone, toy, threads: " in report.as_text(measured)
    assert main([RECIPE, "--config.train.batch_size=9"]) == 1
    assert "train.batch_size=9 cannot be split" in capsys.readouterr().err


def test_a_data_set_that_is_not_prepared(monkeypatch, tmp_path, capsys):
    monkeypatch.undo()
    monkeypatch.setattr(report, "DTYPES", ("float32",))
    words = ["--config=configs/raf.py:baseline,tiny", f"--config.data.dir={tmp_path}"]
    assert main([*words, "--mode=input"]) == 1
    error = "error: data set 'raf_db' is not prepared"
    assert capsys.readouterr().err.startswith(error)
    assert main([*words, "--mode=count"]) == 0
    printed = capsys.readouterr().out
    (note,) = [x for x in printed.splitlines() if x.startswith("note: ")]
    assert "7 classes are assumed" in note and "qcs-jax prepare raf_db" in note
    assert "FLOPs of a step, by XLA" in printed


@pytest.mark.parametrize(
    "word, message",
    [
        ("--mode=speed", "--mode: invalid choice"),
        ("--steps=0", "'0': give a number"),
        ("--seconds=nan", "give a number above 0"),
        ("--config.steps=3", "no field 'steps'"),
    ],
)
def test_mistakes(word, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--config=configs/demo.py", word])
    error = capsys.readouterr().err.splitlines()[-1]
    assert "error: " in error and message in error


def count(batch=8, **fields):
    """Operations of the programs of a step."""
    return Subject(toy.config(**{"train.batch_size": batch, **fields}), 3).count()


def test_operations_double_with_the_batch_and_with_the_second_pass():
    one, two = (count(batch) for batch in (4, 8))
    assert list(one) == ["prepare", "gradient", "climb", "update"]
    for name in ("prepare", "gradient"):
        assert two[name] == pytest.approx(2 * one[name], rel=0.01)
    for name in ("climb", "update"):
        assert two[name] == one[name]
    without_climb = count(**{"optimizer.rho": 0.0})
    assert list(without_climb) == ["prepare", "gradient", "update"]
    assert two["gradient"] == 2 * without_climb["gradient"]
    local = count(**{"optimizer.local_climb": True})
    passes = ["gradient", "climb", "second gradient"]
    assert list(local) == ["prepare", *passes, "update"]
    for name in ("gradient", "second gradient"):
        assert local[name] == pytest.approx(without_climb[name[-8:]], rel=0.01)
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
    for decoded, waited_for in ((500.0, "step"), (50.0, "input")):
        sentence = report.bottleneck(decoded, 100.0, workers=0)
        start = f"The {waited_for} is the bottleneck: the input pipeline decodes"
        assert sentence.startswith(f"{start} {decoded:.0f} images/s, 5")
        assert ("Raise data.workers (it is 0)" in sentence) == (decoded < 100)
    expected = dict(steps=3, median=0.2, p10=0.12, p90=0.28, images=6)
    expected["images_per_second"] = 30
    assert programs.speed([0.1, 0.2, 0.3], images=6) == pytest.approx(expected)
    long_ago = -1e9
    assert Limits(3, 1.0).reached(1, long_ago)
    assert not Limits(3, 1e12).reached(2, long_ago)
    assert Limits(3, 1e12).reached(3, long_ago)


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
