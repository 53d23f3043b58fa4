"""The command as users type it, on the small network and a data set in memory."""

import json
import pathlib

import jax
import manual_commands
import pytest
import toy

from qcs_jax.benchmark import device, inference, printing, report, scaling
from qcs_jax.benchmark.__main__ import main
from qcs_jax.benchmark.inference import Inference
from qcs_jax.benchmark.programs import Compilation
from qcs_jax.benchmark.timing import Speed
from qcs_jax.benchmark.training import Subject, Training
from qcs_jax.config import flags

ROOT = pathlib.Path(__file__).parents[2]
MANUAL = ROOT / "qcs_jax" / "benchmark" / "README.md"
DTYPES = {"float32", "bfloat16"}
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


def test_train(run, monkeypatch):
    measured, create = [], report.create
    keep = lambda *args: measured.append(create(*args)) or measured[0]  # noqa: E731
    monkeypatch.setattr(report, "create", keep)
    # Compiling is slow: that there are two precisions, the other modes show.
    monkeypatch.setattr(report, "DTYPES", ("float32",))
    monkeypatch.setattr(printing, "_COLUMNS", ("float32",))
    found = json.loads(run("--json"))
    check_text(printing.text_of(measured[0]))
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
        assert speed["p10"] <= speed["median"] <= speed["p90"]
        assert 0 < compilation["cached"] < compilation["cold"]
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


def test_infer(run):
    found = json.loads(run("--mode=infer", "--json"))
    assert found.keys() == KEYS and found["inference"].keys() == DTYPES
    for x in found["inference"].values():
        assert [call["batch"] for call in x["calls"]] == [1, 2]
        for call in x["calls"]:
            speed = call["speed"]
            images = call["batch"]
            assert speed["images_per_second"] == pytest.approx(images / speed["median"])
            assert call["first_cold"] > call["first_cached"] > 0
            rate = x["flops"] * speed["images_per_second"]
            assert call["flops_per_second"] == pytest.approx(rate)


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
        (("--config=configs/demo.py", "--steps=0"), "--steps: invalid"),
        (("--config=configs/demo.py", "--link=nan"), "--link: invalid"),
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


@pytest.mark.parametrize("words", manual_commands.commands(MANUAL), ids=" ".join)
def test_commands_of_the_manual(words, run, monkeypatch):
    """All but the measurements themselves, which are above."""
    matmul, memory = device.MatmulPeak(64, 1e9), device.Memory(None, 10**6, 10**7)
    speed, compilation = Speed(2, 0.1, 0.1, 0.1, 8, 80.0), Compilation(1.0, 2.0, 0.5)
    flops = {"gradient": 1e6}
    monkeypatch.setattr(
        Subject,
        "measure",
        lambda self, *_: Training(
            self.config.dtype, compilation, speed, flops, 1e6, 1e7, memory, matmul
        ),
    )
    calls = [inference.Calls(1, 1.0, 0.5, speed, 1e6)]
    monkeypatch.setattr(
        inference,
        "measure",
        lambda subject, *_: Inference(subject.config.dtype, 1e6, calls, memory, matmul),
    )
    monkeypatch.chdir(ROOT)
    config, *rest = words
    assert (ROOT / config.removeprefix("--config=").partition(":")[0]).is_file()
    assert "toy" in run(*rest)
