"""What the start of training tells, which checkpoints keep whatever comes after."""

import json

import numpy as np
import saved
import toy

from qcs_jax.checkpoint import Trained
from qcs_jax.train import initialize, loop
from qcs_jax.train.evaluate import evaluate_run

FOUND = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.60001), (0.5, 0.8)])


def one_epoch():
    return toy.config(**{"train.epochs": 1})


def test_landmarks_are_measured_once(tmp_path, monkeypatch):
    """Where training starts; neither evaluation nor more training changes them."""
    seen = []

    def measure(faces):
        seen.extend(faces)
        return FOUND

    monkeypatch.setattr(initialize, "template_of", measure)
    loop.train_and_evaluate(one_epoch(), tmp_path)
    assert len(seen) == toy.SIZES["train"]
    assert {face.size for face in seen} == {(toy.config().data.resize,) * 2}
    wanted = FOUND.round(4).tolist()
    assert Trained.load(tmp_path).landmarks == wanted
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["preprocessing"]["landmarks"] == wanted
    monkeypatch.setattr(initialize, "template_of", None)  # it would fail
    assert evaluate_run(one_epoch(), tmp_path).measured["landmarks"] == wanted
    loop.train_and_evaluate(toy.config(), tmp_path)
    assert [Trained.load(tmp_path, step=n).landmarks for n in (6, 12)] == [wanted] * 2


def test_a_run_of_an_earlier_version_is_evaluated_as_it_was(tmp_path, monkeypatch):
    """Nothing is measured for it: its answers would change."""
    with monkeypatch.context() as patch:
        patch.setattr(loop, "described", lambda run, source: run.description)
        loop.train_and_evaluate(one_epoch(), tmp_path)
    monkeypatch.setattr(initialize, "template_of", lambda faces: FOUND)
    assert evaluate_run(one_epoch(), tmp_path).measured["landmarks"] is None
    saved.evaluated(tmp_path, landmarks=FOUND.tolist())  # as that version measured
    assert Trained.load(tmp_path).landmarks == FOUND.tolist()
    again = evaluate_run(one_epoch(), tmp_path).measured
    assert again["landmarks"] == FOUND.tolist()
