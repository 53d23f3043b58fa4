"""The command as users type it, on the small network and a data set in memory."""

import json
import pathlib

import jax
import manuals
import pytest
import toy

from qcs_jax.benchmark import device, inference, printing, report
from qcs_jax.benchmark.__main__ import main
from qcs_jax.config import flags
from qcs_jax.input.pipeline import steps_per_epoch
from qcs_jax.system.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
MANUAL = ROOT / "qcs_jax" / "benchmark" / "README.md"
DTYPES = {"float32", "bfloat16"}
CACHE = "/jax/compilation_cache/cache_{}"
KEYS = {
    *("mode", "name", "network", "batch", "devices", "training", "inference"),
    *("flops", "input", "bottleneck", "notes"),
}


@pytest.fixture(autouse=True)
def small_world(monkeypatch):
    toy.install(monkeypatch)
    monkeypatch.setattr(device, "_SIDE_ON_CPU", 64)
    monkeypatch.setattr(inference, "BATCHES", (1, 2))
    with jax.numpy_dtype_promotion("standard"):  # Flax's norms need it for bfloat16
        yield


@pytest.fixture
def recipe(monkeypatch):
    """Any recipe that is named is that of the toy."""
    monkeypatch.setattr(flags, "_run", lambda config: toy.config())


@pytest.fixture
def run(recipe, capsys):
    """Types the command; returns its standard output."""

    def run(*arguments):
        assert main(["--config=configs/demo.py", "--steps=2", *arguments]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def texts(monkeypatch):
    """What would have been printed without --json."""
    texts, create = [], report.create

    def keep(*args):
        measured = create(*args)
        texts.append(printing.as_text(measured))
        return measured

    monkeypatch.setattr(report, "create", keep)
    return texts


def test_train(run, texts, monkeypatch):
    # Compiling is slow: that there are two precisions, the other modes show.
    monkeypatch.setattr(report, "DTYPES", ("float32",))
    monkeypatch.setattr(printing, "DTYPES", ("float32",))
    monkeypatch.setattr(printing, "_COLUMNS", ("float32",))
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
    assert min(x["compilation"].values()) > 0
    total = sum(x["flops"].values())
    assert measured["flops"] == {"float32": pytest.approx(total)}
    assert x["flops_per_second"] == pytest.approx(total / speed["median"])
    assert x["compiled_flops"] == pytest.approx(total, rel=0.3)
    peak = x["matmul"]["flops_per_second"]
    assert x["matmul"]["reached"] == pytest.approx(x["flops_per_second"] / peak)
    assert x["memory"]["peak"] is None  # CPUs do not count
    assert 0 < x["memory"]["programs"] < x["memory"]["process"]
    decoded = measured["input"]
    rate = decoded["images"] / decoded["seconds"]
    assert decoded["images_per_second"] == pytest.approx(rate)
    assert "is the bottleneck" in measured["bottleneck"]["float32"]
    [text] = texts
    assert text.startswith("toy, --mode=train: baseline, tiny")
    for part in ("XLA, empty cache", "images/s", "is the bottleneck", "RSS", "climb"):
        assert part in text
    assert "by the device" not in text
    assert max(map(len, text.splitlines())) < 200


def test_infer(run, texts, monkeypatch):
    """The first of two calls compiles; the second reads from the cache, and no more."""
    events, looked_up, seconds = [], [], inference._seconds

    def first_call(*args):
        events.clear()
        seconds(*args)
        kinds = (x for x in ("misses", "hits") if CACHE.format(x) in events)
        looked_up.append(next(kinds, "nothing"))
        return 10.0 * len(looked_up)

    monkeypatch.setattr(inference, "_seconds", first_call)
    jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
    measured = json.loads(run("--mode=infer", "--json"))
    jax.monitoring.clear_event_listeners()
    assert looked_up == ["misses", "hits"] * 4
    assert measured.keys() == KEYS and measured["inference"].keys() == DTYPES
    first = []
    for x in measured["inference"].values():
        assert [call["batch"] for call in x["calls"]] == [1, 2]
        for call in x["calls"]:
            rate = call["speed"]["images_per_second"]
            assert rate == pytest.approx(call["batch"] / call["speed"]["median"])
            assert call["flops_per_second"] == pytest.approx(x["flops"] * rate)
            first += [call["first_cold"], call["first_cached"]]
    assert first == sorted(first) and len(set(first)) == 8
    assert "2 at a time" in texts[0] and "first call, from the cache" in texts[0]


def test_input(run):
    measured = json.loads(run("--mode=input", "--json"))
    assert measured["input"]["dataset"] == "toy" and not measured["training"]
    assert "images/s" in run("--mode=input")


def test_a_data_set_that_is_not_prepared(monkeypatch, tmp_path, capsys):
    monkeypatch.undo()
    words = ["--config=configs/raf.py:baseline,tiny", f"--config.data.dir={tmp_path}"]
    assert main([*words, "--mode=input"]) == 1
    assert capsys.readouterr().err.startswith(
        "error: data set 'raf_db' is not prepared"
    )
    assert main([*words, "--mode=count"]) == 0
    printed = capsys.readouterr().out
    (note,) = [x for x in printed.splitlines() if x.startswith("note: ")]
    assert "7 classes are assumed" in note and "qcs-jax prepare raf_db" in note
    assert "FLOPs of a step, by XLA" in printed


@pytest.mark.parametrize(
    "words, message",
    [
        ((), "--config"),
        (("--config=configs/demo.py", "--mode=speed"), "--mode: invalid choice"),
        (("--config=configs/demo.py", "--steps=0"), "'0': give a number"),
        (("--config=configs/demo.py", "--seconds=nan"), "give a number above 0"),
        (("--config=configs/demo.py", "--config.steps=3"), "no field 'steps'"),
    ],
)
def test_mistakes(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "error: " in error and message in error


def test_a_batch_that_cannot_be_split(recipe, capsys):
    assert main(["--config=x.py", "--config.train.batch_size=9"]) == 1
    assert "train.batch_size=9 cannot be split" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", manuals.commands(MANUAL, "qcs-jax benchmark"), ids=" ".join
)
def test_commands_of_the_manual(words, monkeypatch):
    """What they measure is tested above."""
    created = []

    def create(mode, config, limits):
        created.append((f"--mode={mode}", config.name))
        raise UserError("that is enough")

    monkeypatch.setattr(report, "create", create)
    monkeypatch.chdir(ROOT)
    assert main(words) == 1
    [(mode, name)] = created
    assert mode in (*words, "--mode=train")
    assert name.startswith(pathlib.Path(words[0].partition(":")[0]).stem)


TIME = (CONFIGS / "README.md").read_text("utf-8").split("## Time\n")[1].split("## ")[0]
HOURS = [
    [cell.strip(" `") for cell in line.strip("|").split("|")]
    for line in TIME.splitlines()
    if line.startswith("| `")
]
IMAGES = {"raf": 12271, "ferplus": 25060, "affectnet7": 283901, "affectnet8": 287651}
PEAKS = [35.6, 71.0, 494.7, 989.0, 197.0, 197.0]  # TFLOP/s, of which 30 % are reached


def test_all_recipes_are_in_the_table_of_hours():
    recipes = {row[0] for row in HOURS}
    assert recipes == {f"{name}.py:{v}" for name in IMAGES for v in ("dcs", "qcs")}


@pytest.mark.parametrize("row", HOURS, ids=lambda row: row[0])
def test_the_table_of_hours_is_what_its_own_columns_give(row):
    recipe, steps, teraflops, *hours = row
    c = flags.read_config(str(CONFIGS / recipe), [])
    images = IMAGES[recipe.partition(".")[0]]
    epoch = steps_per_epoch(images, c.train.batch_size, c.data.epoch_fraction)
    assert steps == f"{epoch * c.train.epochs:,}"
    work = epoch * c.train.epochs * float(teraflops) / 3600
    shown = [float(x) for pair in hours for x in pair.split(",")]
    assert shown == pytest.approx([work / (0.3 * peak) for peak in PEAKS], rel=0.06)
