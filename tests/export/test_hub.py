"""`--format=hub`: a folder to upload, as far as it goes without ONNX."""

import dataclasses
import json
import re
import sys

import numpy as np
import pytest
import saved
import yaml

import qcs_jax
from qcs_jax.checkpoint import Trained, weights
from qcs_jax.evaluate import groups, results
from qcs_jax.evaluate.group_file import Grouping
from qcs_jax.export import __main__ as command
from qcs_jax.export import check, hub, onnx
from qcs_jax.export.served import calibrated


@pytest.fixture(scope="module")
def trained():
    return Trained.load("fer2013")


@pytest.fixture
def export(monkeypatch, capsys, tmp_path):
    """Exports a checkpoint without ONNX: exit status, output, errors."""
    monkeypatch.setattr(check, "BATCHES", (2,))
    monkeypatch.setitem(sys.modules, "jax2onnx", None)

    def export(checkpoint, *flags):
        argv = [f"--checkpoint={checkpoint}", f"--out={tmp_path / 'faces'}", *flags]
        return command.main(["--format=hub", *argv]), *capsys.readouterr()

    return export


def test_a_folder_to_upload(export, tmp_path):
    status, output, error = export("fer2013", "--whole", "--quantize=float16")
    assert (status, error) == (0, "")
    assert "note       no model.onnx: ONNX needs more packages" in output
    assert onnx.INSTALL in output and "hf upload OWNER/NAME" in output
    folder = tmp_path / "faces"
    assert {path.name for path in folder.iterdir()} == {
        *("README.md", "config.json", "labels.txt", weights.FILE)
    }
    names = list(qcs_jax.load(folder).class_names)
    assert (folder / "labels.txt").read_text().split() == names
    config = json.loads((folder / "config.json").read_text())
    assert [config["id2label"][str(i)] for i in range(7)] == names
    assert config["label2id"] == {name: i for i, name in enumerate(names)}
    sizes = config["model_type"], config["resize"], config["image_size"]
    assert sizes == ("qcs", 48, 44)
    assert "# faces\n" in (folder / "README.md").read_text("utf-8")


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


def test_the_card_says_what_was_calibrated_and_drawn(trained):
    text = hub.model_card(calibrated(trained), "x")
    assert "with the temperature of 0.932 that is applied" in text
    config = trained.config.copy_and_resolve_references()
    config.data.name = "synthetic_faces/balanced"
    description = trained.description | {"config": config.to_dict()}
    drawn = dataclasses.replace(trained, description=description)
    text = hub.model_card(drawn, "x")
    assert "license: apache-2.0" in text and "Trained on drawn faces" in text


def test_the_card_says_how_it_does_on_worse_images_and_for_groups(trained):
    worse = {"noise": [0.5, 0.25], "low light": [0.3, 0.15]}
    rng, labels = np.random.default_rng(0), np.arange(130) % 7
    logits = rng.normal(size=(130, 7)) + 3 * np.eye(7)[labels]
    people = np.repeat([0, 1, 2], [60, 60, 10])
    grouping = Grouping("age", ("young", "old", "oldest"), people)
    of_people = groups.summary([grouping], logits, labels, trained.class_names)
    measured = {"robustness": results.robustness(worse, 0.6), "groups": of_people}
    evaluation = trained.evaluation | measured
    description = trained.description | {"evaluation": evaluation}
    text = hub.model_card(dataclasses.replace(trained, description=description), "x")
    assert "30.0 % are right on average" in text and "beside 60.0 % without" in text
    assert "| low light | 30.0 | 15.0 |" in text
    young, _, oldest = of_people["columns"][0]["groups"]
    assert f"| age | young | 60 | {100 * young['accuracy']:.1f} | " in text
    assert f"| age | oldest * | 10 | {100 * oldest['accuracy']:.1f} | " in text
    assert f"- age: * Fewer than {groups.SMALL} images" in text
    assert of_people["columns"][0]["gap"]["sentence"] in text
    assert "not measured" not in text


def test_a_card_needs_an_evaluation(export, tmp_path):
    status, _, error = export(saved.run(tmp_path / "run", 0))
    assert status == 1
    assert error.startswith("error: a model card needs what an evaluation measures")
    assert not (tmp_path / "faces").exists()
