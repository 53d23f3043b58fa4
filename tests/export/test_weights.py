"""`--format=safetensors` and `--format=hub`: weights with what is known of them."""

import dataclasses
import json
import pathlib
import re
import shutil
import sys

import numpy as np
import pytest
import saved
import small
import yaml
from absl import logging

import qcs_jax
from qcs_jax import checkpoint
from qcs_jax.checkpoint import Trained
from qcs_jax.evaluate import groups, results
from qcs_jax.evaluate.counts import Counts
from qcs_jax.evaluate.group_file import Grouping
from qcs_jax.export import __main__ as command
from qcs_jax.export import hub, onnx


@pytest.fixture(autouse=True)
def quiet():
    """As the command itself."""
    logging.set_verbosity(logging.ERROR)


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Exports to `tmp_path / "out"`, without ONNX: exit status, output, errors."""
    monkeypatch.setattr("qcs_jax.export.served.BATCHES", (2,))
    monkeypatch.setitem(sys.modules, "jax2onnx", None)

    def run(checkpoint, *flags, out="out", format="safetensors"):
        argv = [f"--checkpoint={checkpoint}", f"--out={tmp_path / out}", *flags]
        status = command.main([f"--format={format}", *argv])
        return status, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return saved.run(tmp_path_factory.mktemp("finished") / "run", 5)


@pytest.fixture
def workdir(finished, tmp_path):
    """A copy, for what a test leaves in it."""
    return shutil.copytree(finished, tmp_path / "run")


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


def test_it_loads_as_the_run_does(finished, tmp_path, run):
    status, output, error = run(finished, "--whole")
    assert (status, error) == (0, "")
    assert "logits differ by at most 0.0e+00" in output
    out = tmp_path / "out"
    assert f"next:\n  qcs_jax.load('{out}').predict('face.jpg')" in output
    assert {path.name for path in out.iterdir()} == {"labels.txt", "model.safetensors"}
    variables, before, _ = checkpoint.load_variables(finished)
    for path in (out, out / "model.safetensors"):
        restored, description, step = checkpoint.load_variables(path)
        small.assert_equal(restored, variables)
        assert step == 5 and description["chosen"] == "newest"
        assert {**before, **description} == description
    assert qcs_jax.load(out).explain(small.pixels(52, 52, 3), [small.pixels(52, 52, 3)])
    # Fewer bits, or the base branch alone. A file is exported as a run is.
    assert run(finished, "--whole", "--quantize=float16", out="half")[0] == 0
    assert run(finished, "--whole", "--quantize=int8", out="bytes")[0] == 0
    assert run(out, out="base")[0] == 0
    base, *_ = checkpoint.load_variables(tmp_path / "base")
    small.assert_equal(base, {x: {"base": variables[x]["base"]} for x in variables})
    complete, half, in_bytes, base = (
        (tmp_path / name / "model.safetensors").stat().st_size
        for name in ("out", "half", "bytes", "base")
    )
    assert half < 0.56 * complete > 0.56 * base and in_bytes < 0.9 * half
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
    for source, out in ((workdir, "bytes"), (tmp_path / "out", "more")):
        assert run(source, "--quantize=int8", out=out)[0] == 0
        assert "evaluation" not in checkpoint.load_variables(tmp_path / out)[1]
    pixels = small.pixels(2, 52, 52, 3)
    paths = workdir, tmp_path / "out"
    logits, scaled = (qcs_jax.load(path).classify(pixels)[0] for path in paths)
    np.testing.assert_allclose(scaled, logits / 1.5, rtol=1e-5, atol=1e-6)
    status, _, error = run(tmp_path / "out", "--calibrate", out="twice")
    assert status == 1 and "divided already" in error


def test_no_evaluation_and_no_temperature(workdir, tmp_path, run):
    status, _, error = run(workdir, format="hub")
    assert status == 1
    assert error.startswith("error: a model card needs what an evaluation measures")
    evaluated(workdir, calibrated=None)
    assert "has no temperature: evaluate its run" in run(workdir, "--calibrate")[2]
    evaluated(workdir, saved.run(tmp_path / "other", 6), step=5)
    status, _, error = run(workdir, "--calibrate")
    assert status == 1 and not (tmp_path / "out").exists()
    assert "is about other weights" in error


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
    assert checkpoint.choose_step(saved.run(workdir, 6))[1] == 6


@pytest.fixture(scope="module")
def trained():
    return Trained.load("fer2013")


def test_a_folder_to_upload(run, tmp_path):
    flags = "--whole", "--quantize=float16"
    status, output, error = run("fer2013", *flags, format="hub")
    assert (status, error) == (0, "")
    assert "note       no model.onnx: ONNX needs more packages" in output
    assert onnx.INSTALL in output and "hf upload OWNER/NAME" in output
    folder = tmp_path / "out"
    names = list(qcs_jax.load(folder).class_names)
    assert (folder / "labels.txt").read_text().split() == names
    config = json.loads((folder / "config.json").read_text())
    assert [config["id2label"][str(i)] for i in range(7)] == names
    assert (config["resize"], config["image_size"]) == (112, 104)
    assert "# out\n" in (folder / "README.md").read_text("utf-8")


def test_the_card_says_what_was_measured(trained):
    _, header, text = hub.model_card(trained, 'a "name"').split("---\n", 2)
    header, measured = yaml.safe_load(header), trained.evaluation
    assert header["license"] == "other"  # the images decide, not the code
    (result,) = header["model-index"]
    assert result["name"] == 'a "name"'
    (accuracy,) = result["results"][0]["metrics"]
    assert accuracy["value"] == pytest.approx(measured["metrics"]["accuracy"], abs=1e-4)
    low, high = (100 * end for end in measured["intervals"]["accuracy"])
    percent = 100 * measured["metrics"]["accuracy"]
    assert f"accuracy **{percent:.1f} %** (95 %: {low:.1f} to {high:.1f})" in text
    for row, taken_for in zip(
        measured["per_class"], measured["confusion"], strict=True
    ):
        start = f"| {row['class']} | "
        assert f"{start}{row['examples']} | {100 * row['recall']:.1f}" in text
        assert f"{start}{' | '.join(map(str, taken_for))} |" in text
    assert "no proof of a feeling" in text and "temperature" not in text
    assert "covered): not measured." in text and "people**: not measured." in text
    assert not re.search("None|nan|[{$]", text)


def test_the_card_says_what_else_was_measured_and_that_faces_were_drawn(trained):
    """Calibration, worse images, and groups."""
    worse = {"noise": [0.5, 0.25], "low light": [0.3, 0.15]}
    rng, labels = np.random.default_rng(0), np.arange(130) % 7
    logits = rng.normal(size=(130, 7)) + 3 * np.eye(7)[labels]
    people = np.repeat([0, 1, 2], [60, 60, 10])
    grouping = Grouping("age", ("young", "old", "oldest"), people)
    of_people = groups.summary([grouping], logits, labels, trained.class_names)
    measured = {"robustness": results.robustness(worse, 0.6), "groups": of_people}
    config = trained.config.copy_and_resolve_references()
    config.data.name = "synthetic_faces/balanced"
    about = {"config": config.to_dict(), "evaluation": trained.evaluation | measured}
    trained = dataclasses.replace(trained, description=trained.description | about)
    text = hub.model_card(command.calibrated(trained), "x")
    assert "license: apache-2.0" in text and "Trained on drawn faces" in text
    assert "with the temperature of 0.845 that is applied" in text
    assert "has PyTorch's layouts; the published code has no such backbone." in text
    assert "On synthetic_faces/balanced, from the weights of `runs/" in text
    assert "30.0 % are right on average" in text and "beside 60.0 % without" in text
    assert "| low light | 30.0 | 15.0 |" in text
    young, _, oldest = of_people["columns"][0]["groups"]
    assert f"| age | young | 60 | {100 * young['accuracy']:.1f} | " in text
    assert f"| age | oldest * | 10 | {100 * oldest['accuracy']:.1f} | " in text
    assert f"- age: * Fewer than {groups.SMALL} images" in text
    assert of_people["columns"][0]["gap"]["sentence"] in text
    assert "not measured" not in text
