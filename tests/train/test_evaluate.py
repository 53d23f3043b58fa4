"""Evaluating a run: every image once, the right checkpoint, nothing overwritten."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
import small
import toy
from PIL import Image
from scipy import stats

from qcs_jax import main
from qcs_jax.checkpoint import (
    Trained,
    choose_step,
    description,
    load_variables,
    weights,
)
from qcs_jax.images.corruptions import CORRUPTIONS
from qcs_jax.input import sources
from qcs_jax.metrics import predictions
from qcs_jax.metrics.counts import Counts
from qcs_jax.metrics.run_log import read_log
from qcs_jax.train import evaluate, loop
from qcs_jax.train.evaluate import evaluate_run

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
    assert main.run("eval", toy.config(), finished / "plain", "command") == 0
    measured, predicted = written(finished / "plain")
    last = [x for x in read_log(finished / "plain") if x["kind"] == "test"][-1]
    assert predicted.ids == tuple(f"test/{i}" for i in range(21))
    assert predicted.class_names == toy.CLASSES
    np.testing.assert_array_equal(predicted.labels, np.arange(21) % 3)
    assert measured["metrics"]["accuracy"] == last["accuracy"]
    assert measured["metrics"]["nll"] == pytest.approx(last["nll"], rel=1e-6)
    assert (measured["step"], measured["chosen"]) == (12, "last epoch")
    assert measured["calibrated"] is None
    assert measured["landmarks"] is None  # of images without faces
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
    evaluate_run(toy.config(**HELD_OUT), folder)
    before = written(folder)[0]
    evaluation = evaluate_run(toy.config(**HELD_OUT), folder / "checkpoints" / "5")
    assert (evaluation.measured["step"], evaluation.measured["chosen"]) == (
        5,
        "as named",
    )
    assert evaluation.folder == folder / "at_5" and not evaluation.own
    assert written(folder)[0] == before


def test_a_run_may_be_called_by_a_number(finished, tmp_path):
    shutil.copytree(finished / "held_out", tmp_path / "7")
    measured = evaluate_run(toy.config(**HELD_OUT), tmp_path / "7").measured
    assert measured["chosen"] == "best epoch on held-out"


def test_everything_uses_the_checkpoint_that_is_reported(finished):
    """Here the first epoch is made the best on held-out images."""
    folder = finished / "plain"
    log = folder / "log.jsonl"
    before = log.read_text()
    lines = [
        {"kind": "held_out", "step": step, "epoch": step // 6, "accuracy": accuracy}
        for step, accuracy in ((6, 0.9), (12, 0.8))
    ]
    assert choose_step(folder) == (12, "last epoch")
    log.write_text(before + "".join(json.dumps(line) + "\n" for line in lines))
    try:
        assert choose_step(folder) == (6, "best epoch on held-out")
        assert load_variables(folder, branch="base")[2] == 6
        assert load_variables(folder, step=12)[2] == 12
        assert choose_step(folder / "checkpoints" / "12") == (12, "as named")
        assert evaluate_run(toy.config(), folder).measured["step"] == 6
    finally:
        log.write_text(before)


@pytest.mark.parametrize("field, value", [("data.resize", 40), ("dtype", "bfloat16")])
def test_images_are_prepared_as_in_training(finished, field, value, capsys):
    c = toy.config(**{field: value})
    assert main.run("eval", c, finished / "plain", "command") == 1
    assert f"give --config.{field}=" in capsys.readouterr().err


def test_a_run_that_is_tested_on_a_list_is_its_own_test(tmp_path):
    (tmp_path / "easy.txt").write_text("test/0\ntest/1\ntest/2\n")
    c = toy.config(**{"data.test_list": str(tmp_path / "easy.txt")})
    loop.train_and_evaluate(c, tmp_path / "run")
    assert evaluate_run(c, tmp_path / "run").own
    assert written(tmp_path / "run")[0]["examples"] == 3
    whole = evaluate_run(toy.config(), tmp_path / "run")
    assert whole.folder.name == "on_toy_test" and not whole.own


def test_another_test_leaves_the_first_alone(finished, tmp_path):
    evaluate_run(toy.config(), finished / "plain")
    before = written(finished / "plain")[0]
    (tmp_path / "hard.txt").write_text("test/0\ntest/1\ntest/5\n")
    other = toy.config(**{"data.test_list": str(tmp_path / "hard.txt")})
    evaluation = evaluate_run(other, finished / "plain")
    assert evaluation.folder.parent == finished / "plain"
    assert evaluation.folder.name.startswith("on_toy_test_hard_")
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
    assert main.run("eval", toy.config(), tmp_path / "none", "command") == 1
    assert "no checkpoint at" in capsys.readouterr().err


def test_a_file_of_weights_is_evaluated_as_its_run(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variables, description, step = load_variables(finished / "plain")
    (tmp_path / "files").mkdir()
    file = tmp_path / "files" / "mine.safetensors"
    weights.save(file, variables, description | {"step": step})
    wanted = evaluate_run(toy.config(), finished / "plain").measured["metrics"]
    evaluation = evaluate_run(toy.config(), file)
    assert evaluation.measured["metrics"] == wanted
    assert (evaluation.measured["chosen"], evaluation.own) == ("as named", False)
    assert evaluation.folder == pathlib.Path("runs/mine/at_12")
    assert written(tmp_path / evaluation.folder)[0] == evaluation.measured
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_landmarks_of_the_training_images_are_measured(finished, monkeypatch):
    seen = []
    monkeypatch.setattr(evaluate, "template_of", lambda faces: seen.extend(faces))
    assert evaluate_run(toy.config(), finished / "plain").measured["landmarks"] is None
    assert {face.size for face in seen} == {(toy.config().data.resize,) * 2}
    found = np.array([(0.3, 0.4), (0.7, 0.4), (0.5, 0.60001), (0.5, 0.8)])
    monkeypatch.setattr(evaluate, "template_of", lambda faces: found)
    evaluate_run(toy.config(), finished / "plain")
    measured, _ = written(finished / "plain")
    assert measured["landmarks"] == found.round(4).tolist()
    assert Trained.load(finished / "plain").landmarks == measured["landmarks"]


def test_worse_images(finished, monkeypatch, capsys):
    """What does nothing costs nothing; of black images all are taken for one class."""
    made = {
        "nothing": lambda x, i, rng, landmarks: x,
        "darkness": lambda x, i, rng, landmarks: x * (i < 4),
    }
    for name in [*CORRUPTIONS]:
        monkeypatch.delitem(CORRUPTIONS, name)
    for name, corruption in made.items():
        monkeypatch.setitem(CORRUPTIONS, name, corruption)
    config, folder = toy.config(), finished / "plain"
    assert main.run("eval", config, folder, "command", corruptions=True) == 0
    measured, _ = written(folder)
    clean, found = measured["metrics"]["accuracy"], measured["robustness"]
    assert found["accuracy"]["nothing"] == [clean] * 5
    assert found["accuracy"]["darkness"] == [clean] * 4 + [7 / 21]
    assert found["mean"] == pytest.approx((9 * clean + 7 / 21) / 10)
    printed = capsys.readouterr().out
    assert f"mean corruption accuracy {100 * found['mean']:.1f}, without" in printed
    main.run("eval", config, folder, "command")
    assert "robustness" not in written(folder)[0]


def test_groups_of_people(finished, tmp_path, capsys):
    """Numbers of each group are those of its images, whatever else is measured."""
    file = tmp_path / "groups.csv"
    lines = [f"test/{i},{'old' if i < 10 else 'young'}" for i in range(18)]
    file.write_text("\n".join(["id,age", *reversed(lines), "train/0,old"]))
    config, folder = toy.config(), finished / "plain"
    assert main.run("eval", config, folder, "command", grouped=file) == 0
    printed = capsys.readouterr().out
    measured, predicted = written(folder)
    [column] = measured["groups"]["columns"]
    assert (column["column"], column["unknown"]) == ("age", 3)
    for group, members in zip(
        column["groups"], (range(10), range(10, 18)), strict=True
    ):
        some = list(members)
        log_p = np.log(predicted.probabilities[some])
        expected = Counts.of(log_p, predicted.labels[some]).metrics()
        for name in ("examples", "accuracy", "nll", "ece"):
            assert group[name] == pytest.approx(expected[name], rel=1e-4)
    assert [x["group"] for x in column["groups"]] == ["old", "young"]
    for part in (
        f"note: {file} lacks 3 of 21 test images",
        f"note: {file} has 1 images that are not in the test",
        "old *        10",
        "3 images belong to no known group.",
    ):
        assert part in printed
    main.run("eval", config, folder, "command")
    assert "groups" not in written(folder)[0]


def test_groups_of_another_data_set(finished, tmp_path, capsys):
    """They are those of the images that are tested, with worse ones or without."""
    (tmp_path / "hard.txt").write_text("test/0\ntest/1\ntest/5\n")
    (tmp_path / "groups.csv").write_text("id,age\ntest/5,old\ntest/1,young\n")
    other = toy.config(**{"data.test_list": str(tmp_path / "hard.txt")})
    options = dict(grouped=tmp_path / "groups.csv")
    evaluation = evaluate_run(other, finished / "plain", **options)
    [column] = written(evaluation.folder)[0]["groups"]["columns"]
    assert [x["examples"] for x in column["groups"]] == [1, 1]
    assert column["unknown"] == 1


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "No such file"),
        ("id,age\n0,old\n", "called 'test/0' and so on, in the file '0'"),
        ("id,age\nx,old\nx,old\n", "line 3: 'x' occurs twice"),
    ],
)
def test_a_file_without_groups_ends_the_evaluation_before_it_begins(
    content, message, finished, tmp_path, monkeypatch, capsys
):
    if content:
        (tmp_path / "groups.csv").write_text(content)
    monkeypatch.setattr(evaluate, "predict_split", None)  # nothing is classified
    options = dict(grouped=tmp_path / "groups.csv")
    assert main.run("eval", toy.config(), finished / "plain", "command", **options) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error
    assert error.count("\n") == 1


def test_groups_and_worse_images_at_once(finished, tmp_path, monkeypatch, capsys):
    for name in [*CORRUPTIONS][1:]:
        monkeypatch.delitem(CORRUPTIONS, name)
    (tmp_path / "groups.csv").write_text("id,age\ntest/5,old\ntest/1,young\n")
    evaluated = evaluate_run(
        toy.config(),
        finished / "plain",
        corruptions=True,
        grouped=tmp_path / "groups.csv",
    )
    assert {"robustness", "groups"} <= written(finished / "plain")[0].keys()
    told = str(evaluated)
    assert told.index("mean corruption accuracy") < told.index("calibration error  by")


@pytest.fixture
def clean_checkout(monkeypatch):
    """As if nothing had been changed since a commit."""
    monkeypatch.setattr(description, "_commit", lambda: "0" * 40)


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


def other_weights(folder):
    for step in ("6", "12"):
        shutil.rmtree(folder / "checkpoints" / step)
    loop.train_and_evaluate(toy.config(seed=1), folder.parent / "other")
    for step in (folder.parent / "other" / "checkpoints").iterdir():
        shutil.copytree(step, folder / "checkpoints" / step.name)


def test_what_is_surely_the_same_is_not_measured_again(
    finished, tmp_path, clean_checkout
):
    folder = shutil.copytree(finished / "plain", tmp_path / "run")
    first = evaluate_run(toy.config(), folder)
    before = (folder / "metrics.json").stat()
    second = evaluate_run(toy.config(), folder, again=False)
    assert (first.new, second.new, second.own) == (True, False, True)
    assert second.measured == first.measured
    assert (folder / "metrics.json").stat() == before
    elsewhere = toy.config(**{"data.label_map": "calm=sad,sad=calm"})
    first = evaluate_run(elsewhere, folder, again=False)
    second = evaluate_run(elsewhere, folder, again=False)
    assert (first.new, second.new) == (True, False)
    assert first.folder == second.folder != folder


@pytest.mark.parametrize(
    "doubt", [other_pixels, other_labels, "weights", "dirty", "version", "answers"]
)
def test_whatever_is_in_doubt_is_measured_again(
    doubt, finished, tmp_path, monkeypatch, clean_checkout
):
    """The first evaluation stays as it is."""
    folder = shutil.copytree(finished / "plain", tmp_path / "run")
    evaluate_run(toy.config(), folder)
    before = (folder / "metrics.json").read_bytes()
    if doubt == "weights":  # of the same step
        other_weights(folder)
    elif doubt == "dirty":
        monkeypatch.setattr(description, "_commit", lambda: "0" * 40 + "-dirty")
    elif doubt == "version":
        monkeypatch.setattr(description, "_commit", lambda: "1" * 40)
    elif doubt == "answers":
        (folder / "predictions.csv").unlink()
    else:
        change(doubt, monkeypatch)
    found = evaluate_run(toy.config(), folder, again=False)
    assert found.new and found.folder == folder / "at_12"
    assert (folder / "metrics.json").read_bytes() == before
    again = evaluate_run(toy.config(), folder, again=False)
    assert again.new == (doubt == "dirty") and again.folder == folder / "at_12"
