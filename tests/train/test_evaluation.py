"""Evaluating a run: every image once, the right checkpoint, nothing overwritten."""

import json

import numpy as np
import pytest
import toy
from scipy import stats

from qcs_jax.measure import predictions
from qcs_jax.metrics import Counts
from qcs_jax.run_log import read_log
from qcs_jax.train import entry, loop
from qcs_jax.train.evaluation import evaluate_run

HELD_OUT = {"data.val_fraction": 0.2}


@pytest.fixture(autouse=True)
def toy_world(monkeypatch):
    toy.install(monkeypatch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Workdirs of a run without and one with held-out images."""
    with pytest.MonkeyPatch.context() as patch:
        toy.install(patch)
        folder = tmp_path_factory.mktemp("runs")
        loop.train_and_evaluate(toy.config(), folder / "plain")
        loop.train_and_evaluate(toy.config(**HELD_OUT), folder / "held_out")
    return folder


def written(folder):
    measured = json.loads((folder / "metrics.json").read_text())
    return measured, predictions.read(folder / "predictions.csv")


def test_every_image_counts_once(finished, capsys):
    assert entry.run("eval", toy.config(), finished / "plain", "command") == 0
    measured, predicted = written(finished / "plain")
    last = [x for x in read_log(finished / "plain") if x["kind"] == "test"][-1]
    assert predicted.ids == tuple(f"test/{i}" for i in range(21))
    assert predicted.class_names == toy.CLASSES
    np.testing.assert_array_equal(predicted.labels, np.arange(21) % 3)
    assert measured["metrics"]["accuracy"] == last["accuracy"]
    assert measured["metrics"]["nll"] == pytest.approx(last["nll"], rel=1e-6)
    assert (measured["step"], measured["chosen"]) == (12, "last epoch")
    assert measured["calibrated"] is None
    again = Counts.of(np.log(predicted.probabilities), predicted.labels).metrics()
    assert measured["metrics"] == pytest.approx(again, rel=1e-5)
    printed = capsys.readouterr().out
    assert "step 12 (last epoch), on 21 images of split 'test' of toy" in printed
    assert f"{last['accuracy']:.4f}" in printed


def test_held_out_images_choose_and_calibrate(finished):
    evaluation = evaluate_run(toy.config(**HELD_OUT), finished / "held_out")
    measured, _ = written(finished / "held_out")
    assert evaluation.measured == measured
    chosen = measured["scores"]["best epoch on held-out"]
    assert (measured["step"], measured["chosen"]) == (
        chosen["step"],
        "best epoch on held-out",
    )
    assert measured["metrics"]["accuracy"] == chosen["accuracy"]
    assert measured["calibrated"]["temperature"] > 0


@pytest.mark.parametrize("change", [{"seed": 1}, {"data.val_fraction": 0.3}])
def test_images_that_were_trained_on_never_calibrate(finished, change):
    c = toy.config(**HELD_OUT | change)
    assert evaluate_run(c, finished / "held_out").measured["calibrated"] is None


def test_a_named_checkpoint_is_the_one(finished):
    folder = finished / "held_out"
    measured = evaluate_run(toy.config(), folder / "checkpoints" / "5").measured
    assert (measured["step"], measured["chosen"]) == (5, "as named")
    assert not (folder / "checkpoints" / "5" / "metrics.json").exists()


def test_another_test_leaves_the_first_alone(finished, tmp_path):
    evaluate_run(toy.config(), finished / "plain")
    before = written(finished / "plain")[0]
    (tmp_path / "hard.txt").write_text("test/0\ntest/1\ntest/5\n")
    other = toy.config(**{"data.test_list": str(tmp_path / "hard.txt")})
    evaluation = evaluate_run(other, finished / "plain")
    assert evaluation.folder == finished / "plain" / "on_toy_test_hard"
    measured, predicted = written(evaluation.folder)
    assert predicted.ids == ("test/0", "test/1", "test/5")
    assert measured["scores"] is None
    assert "note: testing on 3 of 21 images" in str(evaluation)
    assert written(finished / "plain")[0] == before


def test_intervals_are_those_of_the_test_images(finished):
    measured = evaluate_run(toy.config(), finished / "plain").measured
    hits = round(measured["metrics"]["accuracy"] * 21)
    low, high = measured["intervals"]["accuracy"]
    expected = stats.binom(21, hits / 21).interval(0.95)
    np.testing.assert_allclose([21 * low, 21 * high], expected, atol=1.5)


def test_without_a_run_says_so(tmp_path, capsys):
    assert entry.run("eval", toy.config(), tmp_path / "none", "command") == 1
    assert "no checkpoint at" in capsys.readouterr().err
