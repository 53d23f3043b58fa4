"""`qcs-jax export`, as far as it goes without TensorFlow."""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import small
import weights

import qcs_jax
from qcs_jax import models
from qcs_jax.checkpoint import Checkpoints
from qcs_jax.checkpoint.description import describe
from qcs_jax.config import base_config
from qcs_jax.export import __main__ as command
from qcs_jax.export import check, onnx, savedmodel, stablehlo
from qcs_jax.export.served import Served
from qcs_jax.models import folded

ROOT = pathlib.Path(qcs_jax.__file__).parents[1]


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command on a small network: exit status, output, errors."""
    monkeypatch.setattr(check, "BATCHES", (2,))  # to compile once
    monkeypatch.setattr(command, "_read", lambda args: small.trained())

    def run(*argv, format="stablehlo"):
        status = command.main(["--checkpoint=run", f"--format={format}", *argv])
        return status, *capsys.readouterr()

    return run


def test_export(run, tmp_path):
    out = tmp_path / "new" / "out"
    status, told, error = run(f"--out={out}")
    assert (status, error) == (0, "")
    assert "uint8[b, 36, 36, 3]: RGB, resized to 36x36; cropped and" in told
    assert "float32[b, 3]: anger, fear, joy" in told
    assert "2 random images: logits differ by" in told
    assert f"wrote {out}" in told and "accuracy" not in told
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    found = stablehlo.load(out)(small.pixels(2, 36, 36, 3))
    assert found["logits"].shape == (2, 3)


@pytest.mark.parametrize(
    "format, collections",
    [("stablehlo", {"params"}), ("tflite", {"params", "batch_stats"})],
)
def test_what_is_folded(run, tmp_path, monkeypatch, format, collections):
    write, seen = stablehlo.write, []

    def spy(served, folder, **options):
        seen.append(served.variables.keys())
        write(served, folder)

    monkeypatch.setattr(stablehlo, "write", spy)
    monkeypatch.setattr(savedmodel, "import_tensorflow", lambda: None)
    monkeypatch.setitem(command.FORMATS, format, stablehlo)
    assert run(f"--out={tmp_path / 'out'}", format=format)[::2] == (0, "")
    assert seen == [collections]


def test_nopreprocess_and_accuracy(run, tmp_path):
    (tmp_path / "faces" / "joy").mkdir(parents=True)
    face = small.pixels(36, 36, 3)
    small.Image.fromarray(face).save(tmp_path / "faces" / "joy" / "0.png")
    (tmp_path / "out").mkdir()  # an empty folder is free
    status, told, _ = run(
        "--nopreprocess", f"--out={tmp_path / 'out'}", f"--images={tmp_path / 'faces'}"
    )
    assert status == 0
    assert "float32[b, 32, 32, 3]: RGB, cropped and normalised" in told
    right = 100 * (small.classifier().predict(face).label == "joy")
    assert f"accuracy   {right}.00% of 1 images; the network {right}.00%" in told
    assert "both give the same class for 100.00%" in told


def test_tampered_weights_are_refused(run, tmp_path, monkeypatch):
    write = stablehlo.write
    other = Served.of(small.classifier(seed=1))
    monkeypatch.setattr(stablehlo, "write", lambda _, folder: write(other, folder))
    status, told, error = run(f"--out={tmp_path / 'out'}")
    assert status == 1 and "wrote" not in told
    assert error.startswith("error: the exported model is not the network")
    assert not any(tmp_path.iterdir())


def test_into_the_folder_where_one_is(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, told, _ = run("--out=.")
    assert status == 0 and "wrote ., 0.0 MB" not in told
    found = {path.name for path in pathlib.Path().iterdir()}
    assert found == {"model.stablehlo", "labels.txt"}
    assert found == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("format", ["hub", "web"])
def test_a_network_is_called_as_its_folder_even_if_that_is_no_text(format):
    out = f"--out={os.fsdecode(b'caf' + bytes([0xE9]))}"
    args = command._parse(["--checkpoint=run", f"--format={format}", out])
    assert command._options(args, small.trained())["name"] == "caf\ufffd"


def test_wrong_folding_is_refused(run, tmp_path, monkeypatch):
    """The oracle is the network as it was trained."""
    monkeypatch.setattr(folded, "_shift", lambda taps, h, w: taps[:1, :1])
    status, _, error = run(f"--out={tmp_path / 'out'}")
    assert status == 1
    assert error.startswith("error: the exported model is not the network")


def test_nothing_is_left_of_a_failure(run, tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(stablehlo, "write_labels", fail)
    out = tmp_path / "new" / "out"  # whose parent is made, too
    assert run(f"--out={out}")[::2] == (1, "error: disk full\n")
    assert not any(tmp_path.iterdir())


def test_what_is_there_is_not_replaced(run, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for path, words in (
        (tmp_path, "is not empty: give another one, or remove it"),
        (tmp_path / "file", "is not a folder"),
        (tmp_path / "link", "is not a folder"),
    ):
        status, told, error = run(f"--out={path}")
        assert (status, told) == (1, "")
        assert error.startswith(f"error: --out={path} {words}")


def test_what_appears_meanwhile_is_not_replaced(run, tmp_path, monkeypatch):
    write, out = stablehlo.write, tmp_path / "out"

    def write_beside_another(served, folder):
        write(served, folder)
        out.mkdir()
        (out / "another").touch()

    monkeypatch.setattr(stablehlo, "write", write_beside_another)
    status, told, error = run(f"--out={out}")
    assert status == 1 and "wrote" not in told
    assert error.startswith(f"error: --out={out} is not empty")
    assert [*tmp_path.rglob("*")] == [out, out / "another"]


@pytest.mark.parametrize("format", ["savedmodel", "tflite"])
def test_without_tensorflow(run, tmp_path, monkeypatch, format):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    status, told, error = run(f"--out={tmp_path / 'out'}", format=format)
    assert (status, told) == (1, "")
    assert 'pip install "qcs_jax[export]"' in error and error.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["onnx", "web"])
def test_without_onnx(run, tmp_path, monkeypatch, format):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    status, told, error = run(f"--out={tmp_path / 'out'}", format=format)
    assert (status, told) == (1, "")
    assert error.endswith(f": {onnx.INSTALL}\n") and error.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "argv, words",
    [
        (
            ["--format=stablehlo", "--quantize=int8"],
            "--quantize=int8 is for --format=tflite or onnx",
        ),
        (
            ["--format=savedmodel", "--quantize=float16"],
            "--quantize=float16 is for --format=tflite or onnx or safetensors or hub",
        ),
        (["--format=onnx", "--quantize=int8"], "on photographs: give --images"),
        (["--format=onnx", "--whole"], "--whole is for --format=safetensors or hub"),
        (["--format=hub", "--nopreprocess"], "--nopreprocess is not for --format=hub"),
        (["--format=onnx", "--runtime=x"], "--runtime is for --format=web"),
        (["--format=pickle"], "invalid choice: 'pickle'"),
        (["--format=tflite", "--quantize=int4"], "invalid choice: 'int4'"),
    ],
)
def test_wrong_flags(capsys, argv, words):
    with pytest.raises(SystemExit) as exit_:
        command.main(["--checkpoint=run", "--out=out", *argv])
    assert exit_.value.code == 2
    assert words in capsys.readouterr().err


ANOTHER = """
import runpy
from jax._src import xla_bridge
from jax._src.lib import xla_client

def start():
    print("another platform started")
    return xla_client.make_cpu_client()

xla_bridge.register_backend_factory("another", start, priority=1000)
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    "module, words", [("qcs_jax.export", []), ("qcs_jax", ["export"])]
)
def test_it_computes_on_the_cpu_however_it_is_called(module, words, tmp_path):
    """JAX would start a platform that goes before the CPU, as that of a GPU does."""
    environment = {k: v for k, v in os.environ.items() if k != "JAX_PLATFORMS"}
    argv = ["--checkpoint=fer2013", "--format=safetensors", "--out=out"]
    done = subprocess.run(
        [sys.executable, "-c", ANOTHER.format(module=module), *words, *argv],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "wrote out" in done.stdout
    assert "another platform started" not in done.stdout


def test_a_checkpoint_from_the_command_line(tmp_path):
    model = models.create("baseline", "tiny")
    config = base_config()
    config.model.update({"name": "baseline", "size": "tiny"})
    names = tuple("abcdefg")
    description = describe(config, names, model.image_size)
    items = {**weights.of(model), "train": {"step": np.int32(0)}}
    with Checkpoints(tmp_path / "run", keep=1, metric="accuracy") as checkpoints:
        checkpoints.save(0, items, description)

    def run(checkpoint):
        argv = ["--format=stablehlo", "--out=out", f"--checkpoint={checkpoint}"]
        return subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "qcs_jax.export", *argv],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    done = run("run")
    assert done.returncode == 0, done.stderr
    assert "12 random images" in done.stdout and "wrote out" in done.stdout
    assert "| qcs_jax.export" in re.sub(" +", " ", done.stderr)  # it lists all imports
    assert not re.search(r"\| +tensorflow\b", done.stderr)
    assert (tmp_path / "out" / "labels.txt").read_text().split() == [*names]
    (tmp_path / "out" / "labels.txt").rename(tmp_path / "labels.txt")

    done = run("run")
    assert done.returncode == 1 and "error: --out=out is not empty" in done.stderr
    assert "Traceback" not in done.stderr
