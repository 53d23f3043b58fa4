"""What was measured once is believed only where nothing can have changed."""

import dataclasses
import json
import shutil

import pytest
import saved
import small
import toy
from PIL import Image

from qcs_jax.checkpoint import Trained
from qcs_jax.evaluate.runs import read_run
from qcs_jax.figures import page
from qcs_jax.input import sources
from qcs_jax.system import runtime
from qcs_jax.system.errors import UserError
from qcs_jax.train import loop
from qcs_jax.train.evaluate import evaluate_run


def no_changes():
    """The commit, where nothing has been changed since."""
    return "0" * 40


@pytest.fixture(autouse=True)
def clean_checkout(monkeypatch):
    monkeypatch.setattr(runtime, "_commit", no_changes)


@pytest.fixture(scope="module")
def evaluated(finished):
    with pytest.MonkeyPatch.context() as patch:
        toy.install(patch)
        patch.setattr(runtime, "_commit", no_changes)
        evaluate_run(toy.config(), finished / "plain")
    return finished / "plain"


@pytest.fixture(scope="module")
def other(finished):
    """Another network, with as many steps."""
    with pytest.MonkeyPatch.context() as patch:
        toy.install(patch)
        loop.train_and_evaluate(toy.config(seed=1), finished / "other")
    return finished / "other"


def change(source, monkeypatch):
    """The data set, prepared again with one other image or other labels."""
    splits = {split: toy.source(split) for split in toy.SIZES}
    splits["test"] = source(splits["test"])
    monkeypatch.setattr(sources, "open_split", lambda name, split, dir: splits[split])


def other_pixels(test):
    image = small.encode(Image.new("RGB", (36, 36)))
    records = toy.Records([test.records[0] | {"image": image}, *test.records[1:]])
    return dataclasses.replace(test, records=records)


def other_labels(test):
    return dataclasses.replace(test, labels=(test.labels + 1) % 3)


def test_what_is_surely_the_same_is_not_measured_again(evaluated, tmp_path):
    folder = shutil.copytree(evaluated, tmp_path / "run")
    before = (folder / "metrics.json").read_bytes()
    second = evaluate_run(toy.config(), folder, again=False)
    assert (second.new, second.own, second.folder) == (False, True, folder)
    assert second.measured == json.loads(before)
    assert (folder / "metrics.json").read_bytes() == before
    elsewhere = toy.config(**{"data.label_map": "calm=sad,sad=calm"})
    first = evaluate_run(elsewhere, folder, again=False)
    second = evaluate_run(elsewhere, folder, again=False)
    assert (first.new, second.new) == (True, False)
    assert first.folder == second.folder != folder


@pytest.mark.parametrize(
    "doubt", [other_pixels, other_labels, "weights", "dirty", "version", "answers"]
)
def test_whatever_is_in_doubt_is_measured_again(
    doubt, evaluated, other, tmp_path, monkeypatch
):
    """The first evaluation stays as it is."""
    folder = shutil.copytree(evaluated, tmp_path / "run")
    before = (folder / "metrics.json").read_bytes()
    if doubt == "weights":  # of the same step
        shutil.rmtree(folder / "checkpoints")
        shutil.copytree(other / "checkpoints", folder / "checkpoints")
    elif doubt == "dirty":
        monkeypatch.setattr(runtime, "_commit", lambda: "0" * 40 + "-dirty")
    elif doubt == "version":
        monkeypatch.setattr(runtime, "_commit", lambda: "1" * 40)
    elif doubt == "answers":
        (folder / "predictions.csv").unlink()
    else:
        change(doubt, monkeypatch)
    another = evaluate_run(toy.config(), folder, again=False)
    assert another.new and another.folder == folder / "at_12"
    assert (folder / "metrics.json").read_bytes() == before
    again = evaluate_run(toy.config(), folder, again=False)
    assert again.new == (doubt == "dirty") and again.folder == folder / "at_12"


def test_another_network_of_the_same_step_has_none_of_the_numbers(
    evaluated, other, tmp_path
):
    folder = shutil.copytree(evaluated, tmp_path / "run")
    measured = json.loads((folder / "metrics.json").read_text())
    run = read_run(folder)
    assert run.finished and run.evaluated and run.predictions()
    assert Trained.load(folder).evaluation == measured
    shutil.rmtree(folder / "checkpoints")
    assert read_run(folder).evaluated  # the weights are gone, what they did is known
    shutil.copytree(other, folder, dirs_exist_ok=True)
    trained = Trained.load(folder)
    assert trained.step == measured["step"] and trained.evaluation is None
    assert not read_run(folder).evaluated and not read_run(folder).predictions()
    with pytest.raises(UserError, match="about other weights.*evaluate again"):
        page.write_page(folder)
    evaluate_run(toy.config(seed=1), folder)
    assert read_run(folder).evaluated and Trained.load(folder).evaluation
    assert page.write_page(folder).exists()
    network = saved.run(tmp_path / "qcs", 1)  # the same, with all of its weights
    saved.evaluated(network)
    assert all(Trained.load(network, branch=x).evaluation for x in ("", "base"))
