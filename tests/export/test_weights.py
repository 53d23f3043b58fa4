"""`--format=safetensors`: one file of weights, with what is known of them."""

import pathlib

import numpy as np
import pytest
import saved
import small
import weights
from absl import logging

import qcs_jax
from qcs_jax import checkpoint
from qcs_jax.evaluate.counts import Counts
from qcs_jax.export import __main__ as command
from qcs_jax.export import check


@pytest.fixture(autouse=True)
def quiet():
    """As the command itself."""
    logging.set_verbosity(logging.ERROR)


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Exports a run to `tmp_path / "out"`: exit status, output, errors."""
    monkeypatch.setattr(check, "BATCHES", (2,))

    def run(checkpoint, *flags, out="out"):
        argv = [f"--checkpoint={checkpoint}", f"--out={tmp_path / out}", *flags]
        status = command.main(["--format=safetensors", *argv])
        return status, *capsys.readouterr()

    return run


METRICS = "metrics.json"


@pytest.fixture
def workdir(tmp_path):
    return saved.run(tmp_path / "run", 5)


def evaluated(workdir, of=None, **changes):
    """Leaves an evaluation of the run, or of another one, in its workdir."""
    counts = Counts.of(small.images(9, 3), np.arange(9) % 3)
    measured = {
        **{"dataset": "toy", "split": "test", "examples": 9},
        **{"metrics": counts.metrics(), "intervals": {"accuracy": [0.1, 0.9]}},
        **{"per_class": [], "confusion": counts.confusion.tolist()},
        "calibrated": {"temperature": 1.5},
    }
    measured |= changes
    saved.evaluated(workdir, of, **measured)
    return measured


def test_it_loads_as_the_run_does(workdir, tmp_path, run):
    status, output, error = run(workdir, "--whole")
    assert (status, error) == (0, "")
    assert "logits differ by at most 0.0e+00" in output
    out = tmp_path / "out"
    assert f"next:\n  qcs_jax.load('{out}').predict('face.jpg')" in output
    assert {path.name for path in out.iterdir()} == {"labels.txt", "model.safetensors"}
    variables, before, _ = checkpoint.load_variables(workdir)
    for path in (out, out / "model.safetensors"):
        restored, description, step = checkpoint.load_variables(path)
        weights.assert_equal(restored, variables)
        assert step == 5 and description["chosen"] == "newest"
        assert {**before, **description} == description
    assert qcs_jax.load(out).explain(small.pixels(52, 52, 3), [small.pixels(52, 52, 3)])


def test_half_the_size_and_the_base_branch_alone(workdir, tmp_path, run):
    sizes = {}
    for out, flags in (
        ("complete", ["--whole"]),
        ("half", ["--whole", "--quantize=float16"]),
        ("base", []),
    ):
        assert run(workdir, *flags, out=out)[0] == 0
        sizes[out] = (tmp_path / out / "model.safetensors").stat().st_size
    assert sizes["half"] < 0.56 * sizes["complete"] > 0.56 * sizes["base"]
    variables, *_ = checkpoint.load_variables(tmp_path / "base")
    assert variables["params"].keys() == variables["batch_stats"].keys() == {"base"}
    assert run(tmp_path / "base", out="again")[0] == 0  # a file is exported as a run is
    again, *_ = checkpoint.load_variables(tmp_path / "again")
    weights.assert_equal(again, variables)
    status, _, error = run(tmp_path / "base", "--whole", out="more")
    assert status == 1 and "is a base branch alone" in error
    assert "leave out --whole" in error and not (tmp_path / "more").exists()


def test_its_evaluation_and_temperature_go_with_it(workdir, tmp_path, run):
    measured = evaluated(workdir)
    status, output, _ = run(workdir, "--calibrate")
    assert status == 0
    _, description, _ = checkpoint.load_variables(tmp_path / "out")
    assert description["evaluation"] == measured
    assert description["temperature"] == 1.5
    pixels = small.pixels(2, 52, 52, 3)
    paths = workdir, tmp_path / "out"
    logits, scaled = (qcs_jax.load(path).classify(pixels)[0] for path in paths)
    np.testing.assert_allclose(scaled, logits / 1.5, rtol=1e-5, atol=1e-6)
    status, _, error = run(tmp_path / "out", "--calibrate", out="twice")
    assert status == 1 and "divided already" in error


def test_no_temperature(workdir, tmp_path, run):
    other = saved.run(tmp_path / "other", 6)
    about = "is about other weights, or of a version that did not say about which"
    for leave, doubt in (
        (lambda: None, ""),
        (lambda: evaluated(workdir, calibrated=None), ""),
        (lambda: evaluated(workdir, other, step=5), f" ({METRICS} {about}"),
        (
            lambda: (workdir / METRICS).write_text('{"step": 5, "fingerprint": null}'),
            f" ({METRICS} {about}",
        ),
    ):
        leave()
        status, _, error = run(workdir, "--calibrate")
        assert status == 1 and not (tmp_path / "out").exists()
        error = error.replace(f"{workdir}/", "")
        assert f"has no temperature{doubt or ': evaluate its run'}" in error


def test_a_file_takes_nothing_over_from_a_run_of_its_name(
    workdir, tmp_path, run, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert run(workdir, out="demo")[0] == 0
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    evaluated(tmp_path / "runs" / "demo", workdir, landmarks=[[9, 9]] * 4)
    trained = checkpoint.Trained.load("demo")
    assert trained.workdir == pathlib.Path("runs/demo")
    assert trained.evaluation is None and trained.landmarks is None
    assert run("demo", "--calibrate", out="again")[0] == 1
    # Nor does a run take anything over from a file that lies in it.
    (tmp_path / "demo" / "model.safetensors").rename(workdir / "model.safetensors")
    assert checkpoint.choose_step(saved.run(workdir, 6))[0] == 6
