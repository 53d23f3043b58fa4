"""The command as users type it, on the small network and a data set in memory."""

import json
import pathlib

import jax
import manuals
import pytest
import toy

from qcs_jax.benchmark import device, inference, printing, report, scaling
from qcs_jax.benchmark.__main__ import main
from qcs_jax.config import flags
from qcs_jax.system.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
MANUAL = ROOT / "qcs_jax" / "benchmark" / "README.md"
DTYPES = {"float32", "bfloat16"}
CACHE = "/jax/compilation_cache/cache_{}"
KEYS = {
    *("mode", "name", "network", "batch", "devices", "training", "inference"),
    *("flops", "input", "bottleneck", "scaling", "estimate", "notes"),
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
        found = create(*args)
        texts.append(printing.text_of(found))
        return found

    monkeypatch.setattr(report, "create", keep)
    return texts


def test_train(run, texts, monkeypatch):
    # Compiling is slow: that there are two precisions, the other modes show.
    monkeypatch.setattr(report, "DTYPES", ("float32",))
    monkeypatch.setattr(printing, "_COLUMNS", ("float32",))
    found = json.loads(run("--json"))
    check_text(*texts)
    assert found.keys() == KEYS
    assert (found["mode"], found["name"]) == ("train", "toy")
    assert found["batch"] == {"anchors": 8, "images": 8}
    assert found["devices"]["count"] == 8
    assert not found["notes"] and not found["inference"]
    assert found["training"].keys() == found["flops"].keys() == {"float32"}
    for dtype, x in found["training"].items():
        speed, compilation = x["speed"], x["compilation"]
        assert speed["steps"] == 2
        assert speed["images_per_second"] == pytest.approx(8 / speed["median"])
        assert min(compilation.values()) > 0
        total = sum(x["flops"].values())
        assert total == pytest.approx(found["flops"][dtype])
        assert x["flops_per_second"] == pytest.approx(total / speed["median"])
        assert x["compiled_flops"] == pytest.approx(total, rel=0.3)
        assert x["matmul"]["flops_per_second"] > 0
        assert x["memory"]["peak"] is None  # CPUs do not count
        assert 0 < x["memory"]["programs"] < x["memory"]["process"]
        rows = {row["devices"]: row for row in found["scaling"]["rows"][dtype]}
        assert rows[8]["same_batch"] == rows[8]["grown_batch"] == speed["median"]
        assert rows[16]["same_batch"] is None  # eight anchors
        assert "is the bottleneck" in found["bottleneck"][dtype]
    decoded = found["input"]
    assert decoded["images_per_second"] == pytest.approx(
        decoded["images"] / decoded["seconds"]
    )
    estimate = found["estimate"]
    assert (estimate["steps"], estimate["whole_run"]) == (12, True)


def check_text(text):
    assert text.startswith("toy, --mode=train: baseline, tiny")
    for told in ("XLA, empty cache", "images/s", "is the bottleneck", "MODEL", "RSS"):
        assert told in text
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
    found = json.loads(run("--mode=infer", "--json"))
    jax.monitoring.clear_event_listeners()
    assert looked_up == ["misses", "hits"] * 4
    assert found.keys() == KEYS and found["inference"].keys() == DTYPES
    first = []
    for x in found["inference"].values():
        assert [call["batch"] for call in x["calls"]] == [1, 2]
        for call in x["calls"]:
            speed = call["speed"]
            images = call["batch"]
            assert speed["images_per_second"] == pytest.approx(images / speed["median"])
            first += [call["first_cold"], call["first_cached"]]
            rate = x["flops"] * speed["images_per_second"]
            assert call["flops_per_second"] == pytest.approx(rate)
    assert sorted(first) == [10.0 * i for i in range(1, 9)]
    assert all(b == a + 10 for a, b in zip(first[::2], first[1::2], strict=True))
    assert "2 at a time" in texts[0] and "first call, from the cache" in texts[0]


def test_input(run):
    found = json.loads(run("--mode=input", "--json"))
    assert found["input"]["dataset"] == "toy" and not found["training"]
    assert "images/s" in run("--mode=input")


def test_the_model_of_one_device_is_the_measured_step():
    shape = dict(batch=24, images=96, link=25.0)
    reduced = [scaling.Reduced("gradients", 10**9, 2)]
    rows = scaling.model_of(0.5, measured_on=1, reduced=reduced, **shape)
    assert rows[0] == scaling.Row(1, 0.5, 192.0, 0.5, 192.0)
    # Half of the computation, and each byte sent once: 1 GB at 25 GB/s.
    told = 0.04 + 2 * scaling.LATENCY
    assert rows[1].same_batch == pytest.approx(0.25 + told)
    assert rows[1].grown_batch == pytest.approx(0.5 + told)
    assert rows[1].grown_batch_images == pytest.approx(192 / (0.5 + told))
    # Measured on two, the model of one has what is left without communication.
    rows = scaling.model_of(0.5, measured_on=2, reduced=reduced, **shape)
    assert rows[1].same_batch == 0.5
    assert rows[0].same_batch == pytest.approx(2 * (0.5 - told))
    assert [row.devices for row in rows if row.same_batch is None] == [16, 64]


def test_a_data_set_that_is_not_prepared(monkeypatch, tmp_path, capsys):
    monkeypatch.undo()
    words = ["--config=configs/raf.py:baseline,tiny", f"--config.data.dir={tmp_path}"]
    assert main([*words, "--mode=input"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: data set 'raf_db' is not prepared")
    assert main([*words, "--mode=count"]) == 0
    printed = capsys.readouterr().out
    (note,) = [x for x in printed.splitlines() if x.startswith("note: ")]
    assert "7 classes are assumed" in note and "qcs_jax.prepare raf_db" in note
    assert "1,000 steps (not a whole run)" in printed


@pytest.mark.parametrize(
    "words, told",
    [
        ((), "--config"),
        (("--config=configs/demo.py", "--mode=speed"), "--mode: invalid choice"),
        (("--config=configs/demo.py", "--steps=0"), "'0': give a number"),
        (("--config=configs/demo.py", "--link=nan"), "give a number above 0"),
        (("--config=configs/demo.py", "--config.steps=3"), "no field 'steps'"),
    ],
)
def test_mistakes(words, told, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "error: " in error and told in error


def test_a_batch_that_cannot_be_split(recipe, capsys):
    assert main(["--config=x.py", "--config.train.batch_size=9"]) == 1
    assert "train.batch_size=9 cannot be split" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", manuals.commands(MANUAL, "qcs-jax benchmark"), ids=" ".join
)
def test_commands_of_the_manual(words, monkeypatch):
    """What they ask for is measured above."""
    asked = []

    def create(mode, config, limits, link):
        asked.append((f"--mode={mode}", config.name))
        raise UserError("that is enough")

    monkeypatch.setattr(report, "create", create)
    monkeypatch.chdir(ROOT)
    assert main(words) == 1
    [(mode, name)] = asked
    assert mode in (*words, "--mode=train")
    assert name.startswith(pathlib.Path(words[0].partition(":")[0]).stem)
