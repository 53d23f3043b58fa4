"""`python -m qcs_jax.convert --to-safetensors`: one file, with what is known of it."""

import json

import numpy as np
import pytest
import saved
import small
import weights
from absl import logging

import qcs_jax
from qcs_jax import checkpoint
from qcs_jax.convert import __main__ as command
from qcs_jax.metrics.counts import Counts


@pytest.fixture(autouse=True)
def quiet():
    """As the command itself."""
    logging.set_verbosity(logging.ERROR)


def run(capsys, *argv):
    status = command.main([str(arg) for arg in argv])
    return status, *capsys.readouterr()


@pytest.fixture
def workdir(tmp_path):
    return saved.run(tmp_path / "run", 5)


def evaluated(workdir, step=5, **changes):
    counts = Counts.of(small.images(9, 3), np.arange(9) % 3)
    measured = {"step": step, "dataset": "toy", "split": "test", "examples": 9}
    measured |= {
        "metrics": counts.metrics(),
        "intervals": {"accuracy": [0.1, 0.9]},
        "per_class": [],
    }
    measured |= {"confusion": counts.confusion.tolist()}
    measured |= {"calibrated": {"temperature": 1.5}} | changes
    (workdir / "metrics.json").write_text(json.dumps(measured))
    return measured


def test_it_loads_as_the_run_does(workdir, tmp_path, capsys):
    out = tmp_path / "new" / "x.safetensors"
    told = run(capsys, workdir, "--to-safetensors", f"--out={out}")
    assert told[0] == 0 and not told[2]
    assert "step 5 (newest): qcs, tiny size, 3 classes" in told[1]
    wanted, before, _ = checkpoint.load_variables(workdir)
    found, description, step = checkpoint.load_variables(out)
    weights.assert_equal(found, wanted)
    assert step == 5 and description == before | {"step": 5, "chosen": "newest"}
    again = run(capsys, workdir, "--to-safetensors", f"--out={out}")
    assert again[0] == 1 and "exists: give another --out" in again[2]
    half = (workdir, "--to-safetensors", f"--out={out}", "--float16", "--overwrite")
    size = out.stat().st_size
    assert run(capsys, *half)[0] == 0 and out.stat().st_size < 0.56 * size


def test_its_evaluation_and_temperature_go_with_it(workdir, tmp_path, capsys):
    measured, out = evaluated(workdir), tmp_path / "x.safetensors"
    status, told, _ = run(
        capsys, workdir, "--to-safetensors", f"--out={out}", "--calibrate"
    )
    assert status == 0 and "logits divided by temperature 1.500" in told
    _, description, _ = checkpoint.load_variables(out)
    del measured["step"]
    assert description["evaluation"] == measured
    assert description["temperature"] == 1.5
    pixels = small.pixels(2, 52, 52, 3)
    logits, scaled = (qcs_jax.load(x).classify(pixels)[0] for x in (workdir, out))
    np.testing.assert_allclose(scaled, logits / 1.5, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("evaluation", ["none", "of another step", "no held-out"])
def test_no_temperature(workdir, tmp_path, capsys, evaluation):
    if evaluation == "of another step":
        evaluated(workdir, step=4)
    elif evaluation == "no held-out":
        evaluated(workdir, calibrated=None)
    out = tmp_path / "x.safetensors"
    argv = (workdir, "--to-safetensors", f"--out={out}", "--calibrate")
    status, _, error = run(capsys, *argv)
    assert status == 1 and "has no temperature: evaluate the run" in error
    assert not out.exists()


def test_another_suffix_and_flags_of_others(workdir, tmp_path, capsys):
    status, _, error = run(capsys, workdir, "--to-safetensors", "--out=x.pth")
    assert status == 1 and "give a name that ends in .safetensors" in error
    for flag in ("--float16", "--calibrate"):
        with pytest.raises(SystemExit):
            run(capsys, workdir, "--to-torch", flag, f"--out={tmp_path / 'x.pth'}")
