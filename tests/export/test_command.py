"""`qcs-jax export`, as far as it goes without TensorFlow and ONNX."""

import os
import pathlib
import re
import subprocess
import sys
import tomllib
import types

import jax
import pytest
import saved
import small

import qcs_jax
from qcs_jax.export import __main__ as command
from qcs_jax.export import onnx, savedmodel, stablehlo
from qcs_jax.models import convolution

ROOT = pathlib.Path(qcs_jax.__file__).parents[1]


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command on a small network: exit status, output, errors."""
    monkeypatch.setattr("qcs_jax.export.served.BATCHES", (2,))  # to compile once
    monkeypatch.setattr(command, "read_trained", lambda *_, **flags: small.trained())

    def run(*argv, format="stablehlo"):
        status = command.main(["--checkpoint=run", f"--format={format}", *argv])
        return status, *capsys.readouterr()

    return run


def test_export(run, tmp_path):
    out = tmp_path / "new" / "out"
    status, output, error = run(f"--out={out}")
    assert (status, error) == (0, "")
    assert "uint8[b, 36, 36, 3]: RGB, resized to 36x36; cropped and" in output
    assert "float32[b, 3]: anger, fear, joy" in output
    assert "2 random images: logits differ by" in output
    assert f"wrote {out}" in output and "accuracy" not in output
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_nopreprocess_and_accuracy(run, tmp_path, monkeypatch):
    (tmp_path / "faces" / "joy").mkdir(parents=True)
    face = small.pixels(36, 36, 3)
    small.Image.fromarray(face).save(tmp_path / "faces" / "joy" / "0.png")
    out = tmp_path / os.fsdecode(b"caf\xe9")  # which is no text
    out.mkdir()  # an empty folder is free
    monkeypatch.chdir(out)
    flags = "--nopreprocess", "--out=.", f"--images={tmp_path / 'faces'}"
    status, output, _ = run(*flags)
    assert status == 0 and "wrote ., 0.0 MB" not in output
    assert "float32[b, 32, 32, 3]: RGB, cropped and normalised" in output
    right = 100 * (small.classifier().predict(face).label == "joy")
    assert f"accuracy   {right}.00% of 1 images; the network {right}.00%" in output
    assert "both give the same class for 100.00%" in output
    written = {"model.stablehlo", "model.json", "labels.txt"}
    assert {path.name for path in out.iterdir()} == written


@pytest.mark.parametrize("fault", ["folding", "disk"])
def test_nothing_is_left_of_a_failure(run, tmp_path, monkeypatch, fault):
    """The oracle is the network as it was trained."""
    if fault == "folding":
        error = "error: the exported model is not the network"
        monkeypatch.setattr(convolution, "_shift", lambda taps, h, w: taps[:1, :1])
    else:
        error = "error: disk full"

        def fail(*_):
            raise OSError("disk full")

        monkeypatch.setattr(stablehlo, "write_labels", fail)
    status, output, message = run(f"--out={tmp_path / 'new' / 'out'}")
    assert status == 1 and "wrote" not in output
    assert message.startswith(error)
    assert not any(tmp_path.iterdir())


def test_what_is_there_is_not_replaced(run, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for path, words in (
        (tmp_path, "is not empty: give another one, or remove it"),
        (tmp_path / "file", "is not a folder"),
        (tmp_path / "link", "is not a folder"),
    ):
        status, output, error = run(f"--out={path}")
        assert (status, output) == (1, "")
        assert error.startswith(f"error: --out={path} {words}")

    write, out = stablehlo.write, tmp_path / "out"

    def write_beside_another(*arguments):
        write(*arguments)
        out.mkdir()
        (out / "another").touch()

    monkeypatch.setattr(stablehlo, "write", write_beside_another)
    status, output, error = run(f"--out={out}")
    assert status == 1 and "wrote" not in output
    assert error.startswith(f"error: --out={out} is not empty")
    assert [*out.iterdir()] == [out / "another"]


@pytest.mark.parametrize("format", ["savedmodel", "tflite", "onnx", "web"])
def test_without_the_packages(run, tmp_path, monkeypatch, format):
    for package in ("tensorflow", "jax2onnx"):
        monkeypatch.setitem(sys.modules, package, None)
    status, output, error = run(f"--out={tmp_path / 'out'}", format=format)
    assert (status, output) == (1, "")
    of_tensorflow = command.FORMATS[format].needs is savedmodel.import_tensorflow
    install = 'pip install "qcs_jax[export]"' if of_tensorflow else onnx.INSTALL
    assert f": {install}" in error and error.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_beside_a_jax_that_tensorflow_cannot_read(run, tmp_path, monkeypatch):
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = settings["project"]["optional-dependencies"]
    assert f"jax=={savedmodel._JAX}" in extras["export"]
    monkeypatch.setitem(sys.modules, "tensorflow", types.ModuleType("tensorflow"))
    monkeypatch.setattr(jax, "__version__", "0.12.1")
    status, _, error = run(f"--out={tmp_path / 'out'}", format="savedmodel")
    assert status == 1 and error.count("\n") == 1
    assert error.startswith("error: TensorFlow reads what jax 0.10.2 writes, and not")


@pytest.mark.parametrize(
    "flags, words",
    [
        ("--format=savedmodel --quantize=float16", "tflite or onnx or safetensors or"),
        ("--format=onnx --whole", "--whole is for --format=safetensors or hub"),
        ("--format=onnx --runtime=x", "--runtime is for --format=web"),
    ],
)
def test_wrong_flags(capsys, flags, words):
    with pytest.raises(SystemExit) as exit_:
        command.main(["--checkpoint=run", "--out=out", *flags.split()])
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
runpy.run_module("qcs_jax", run_name="__main__", alter_sys=True)
"""


def test_it_computes_on_the_cpu_and_imports_no_tensorflow(tmp_path):
    """JAX would start a platform that goes before the CPU, as that of a GPU does."""
    saved.run(tmp_path / "run", 0)
    environment = {k: v for k, v in os.environ.items() if k != "JAX_PLATFORMS"}
    argv = ["export", "--checkpoint=run", "--format=safetensors", "--out=out"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", ANOTHER, *argv],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "12 random images" in done.stdout and "wrote out" in done.stdout
    assert "another platform started" not in done.stdout
    assert re.search(r"\| +qcs_jax\.export\b", done.stderr)  # it lists all imports
    assert not re.search(r"\| +tensorflow\b", done.stderr)


# What of standard error gets through while TensorFlow works.
NOISE = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795545089.373841    2141 cudart_stub.cc:31] Could not find cuda drivers.
W0000 00:00:1795545099.312049    2141 tf_tfl_flatbuffer_helpers.cc:364] Ignored.
E0000 00:00:1795545096.668328    2141 cuda_platform.cc:52] failed call to cuInit: 303
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
"""
WORDS = """\
E0000 00:00:1795545096.668328    2141 reader.cc:52] Data loss
F0000 00:00:1795545096.668328    2141 reader.cc:53] Check failed: false
ERROR: didn't find op for builtin opcode 'CONV_2D'
error: there is no \N{LATIN SMALL LETTER E WITH ACUTE}
UserWarning: WARNING: INFO: I0000 00:00:
"""
QUIETLY = """
import os, sys
from qcs_jax.export import savedmodel
with savedmodel.quiet():
    os.write(2, sys.argv[1].encode())
    print("of Python", file=sys.stderr)
    os.abort()
"""


def test_noise_is_left_out_and_errors_pass(capfd):
    with pytest.raises(ZeroDivisionError), savedmodel.quiet():
        os.write(2, (NOISE + WORDS).encode())
        _ = 1 / 0
    os.write(2, NOISE.encode())
    assert capfd.readouterr().err == WORDS + NOISE
    argv = [sys.executable, "-c", QUIETLY, NOISE + WORDS]
    crash = subprocess.run(argv, capture_output=True, text=True)
    assert crash.stderr.startswith(f"{WORDS}of Python\n") and crash.returncode < 0
