"""Evaluating a run: every image once, the right checkpoint, nothing overwritten."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import toy
from saved import damage
from scipy import stats
from toy import HELD_OUT, written

import qcs_jax
from qcs_jax import main
from qcs_jax.checkpoint import choose_step, load_variables, weights
from qcs_jax.convert import __main__ as convert
from qcs_jax.evaluate.counts import Counts
from qcs_jax.evaluate.runs import read_log
from qcs_jax.export import __main__ as export
from qcs_jax.images.corruptions import CORRUPTIONS
from qcs_jax.train import evaluate, loop
from qcs_jax.train.evaluate import evaluate_run


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
    again = Counts.of(np.log(predicted.probabilities), predicted.labels).metrics()
    assert measured["metrics"] == pytest.approx(again, rel=1e-5)
    hits = round(21 * last["accuracy"])
    expected = stats.binom(21, hits / 21).interval(0.95)
    interval = 21 * np.array(measured["intervals"]["accuracy"])
    np.testing.assert_allclose(interval, expected, atol=1.5)
    printed = capsys.readouterr().out
    assert "step 12 (last epoch), on 21 images of split 'test' of toy" in printed
    assert f"{last['accuracy']:.4f}" in printed


def test_held_out_images_choose_and_calibrate(finished, tmp_path):
    """Of a run, too, that is called by a number, as a checkpoint is."""
    folder = shutil.copytree(finished / "held_out", tmp_path / "7")
    evaluation = evaluate_run(toy.config(**HELD_OUT), folder)
    measured, _ = written(folder)
    assert evaluation.measured == measured
    chosen = measured["scores"]["best epoch on held-out"]
    assert measured["chosen"] == "best epoch on held-out"
    assert measured["step"] == chosen["step"]
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
    measured = evaluation.measured
    assert (measured["step"], measured["chosen"]) == (5, "as named")
    assert evaluation.folder == folder / "at_5" and not evaluation.own
    assert written(folder)[0] == before


def test_all_use_an_older_checkpoint_for_a_damaged_one(finished, tmp_path, capsys):
    folder = shutil.copytree(finished / "plain", tmp_path / "run")
    damage(folder / "checkpoints" / "12" / "params")
    evaluation = evaluate_run(toy.config(), folder)
    assert evaluation.folder == folder and evaluation.own
    measured, used = written(folder)[0], (6, "newest that is whole")
    assert (measured["step"], measured["chosen"]) == used
    assert "step 6 on toy" in str(qcs_jax.load(folder))
    flags = f"--checkpoint={folder}", "--format=safetensors", f"--out={tmp_path / 'x'}"
    assert export.main([*flags]) == 0
    _, description, step = load_variables(tmp_path / "x")
    assert (step, description["chosen"]) == used
    assert description["evaluation"]["metrics"] == measured["metrics"]
    capsys.readouterr()
    assert convert.main([str(folder), "--to-torch", f"--out={tmp_path / 'x.pth'}"]) == 0
    assert f"{folder}, step 6:" in capsys.readouterr().out
    # A checkpoint that is named is the one, or none.
    assert main.run("eval", toy.config(), folder / "checkpoints" / "12", "then") == 1


def test_everything_uses_the_checkpoint_that_is_reported(finished):
    """Here the first epoch is made the best on held-out images."""
    folder = finished / "plain"
    log = folder / "log.jsonl"
    before = log.read_text()
    lines = [
        {"kind": "held_out", "step": step, "epoch": step // 6, "accuracy": accuracy}
        for step, accuracy in ((6, 0.9), (12, 0.8))
    ]
    assert choose_step(folder)[1:] == (12, "last epoch")
    log.write_text(before + "".join(json.dumps(line) + "\n" for line in lines))
    try:
        assert choose_step(folder)[1:] == (6, "best epoch on held-out")
        assert load_variables(folder, branch="base")[2] == 6
        assert load_variables(folder, step=12)[2] == 12
        assert choose_step(folder / "checkpoints" / "12")[1:] == (12, "as named")
        assert evaluate_run(toy.config(), folder).measured["step"] == 6
    finally:
        log.write_text(before)


def test_only_a_run_and_with_images_as_in_training(finished, capsys):
    for field, value, folder, message in (
        ("data.resize", 40, "plain", "give --config.data.resize="),
        ("dtype", "bfloat16", "plain", "give --config.dtype="),
        ("seed", 0, "none", "no checkpoint at"),
    ):
        c = toy.config(**{field: value})
        assert main.run("eval", c, finished / folder, "command") == 1
        assert message in capsys.readouterr().err


def test_a_run_that_is_tested_on_a_list_is_its_own_test(tmp_path):
    (tmp_path / "easy.txt").write_text("test/0\ntest/1\ntest/2\n")
    fields = {"train.epochs": 1}
    c = toy.config(**fields, **{"data.test_list": str(tmp_path / "easy.txt")})
    loop.train_and_evaluate(c, tmp_path / "run")
    assert evaluate_run(c, tmp_path / "run").own
    assert written(tmp_path / "run")[0]["examples"] == 3
    complete = evaluate_run(toy.config(**fields), tmp_path / "run")
    assert complete.folder.name == "on_toy_test" and not complete.own


def test_another_test_leaves_the_first_alone(finished, tmp_path):
    """It has groups of its own."""
    evaluate_run(toy.config(), finished / "plain")
    before = written(finished / "plain")[0]
    (tmp_path / "hard.txt").write_text("test/0\ntest/1\ntest/5\n")
    (tmp_path / "groups.csv").write_text("id,age\ntest/5,old\ntest/1,young\n")
    other = toy.config(**{"data.test_list": str(tmp_path / "hard.txt")})
    file = tmp_path / "groups.csv"
    evaluation = evaluate_run(other, finished / "plain", grouped=file)
    assert evaluation.folder.parent == finished / "plain"
    assert evaluation.folder.name.startswith("on_toy_test_hard_")
    measured, predicted = written(evaluation.folder)
    assert predicted.ids == ("test/0", "test/1", "test/5")
    assert measured["scores"] is None
    [column] = measured["groups"]["columns"]
    assert [x["examples"] for x in column["groups"]] == [1, 1]
    assert column["unknown"] == 1
    assert "note: testing on 3 of 21 images" in str(evaluation)
    assert written(finished / "plain")[0] == before


def test_a_file_of_weights_is_evaluated_as_its_run(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variables, description, step = load_variables(finished / "plain")
    (tmp_path / "files").mkdir()
    file = tmp_path / "files" / "mine.safetensors"
    weights.save(file, variables, description | {"step": step})
    metrics = evaluate_run(toy.config(), finished / "plain").measured["metrics"]
    evaluation = evaluate_run(toy.config(), file)
    assert evaluation.measured["metrics"] == metrics
    assert (evaluation.measured["chosen"], evaluation.own) == ("as named", False)
    assert evaluation.folder == pathlib.Path("runs/mine/at_12")
    assert written(tmp_path / evaluation.folder)[0] == evaluation.measured
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_network_that_overflows_is_not_evaluated(
    finished, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    variables, description, step = load_variables(finished / "plain")
    head = variables["params"]["base"]["vit"]["head"]
    head["kernel"] = np.copysign(np.float32(3e38), head["kernel"])
    weights.save("mine.safetensors", variables, description | {"step": step})
    assert main.run("eval", toy.config(), "mine.safetensors", "command") == 1
    error = capsys.readouterr().err
    assert "says of 21 of 21 images is not finite" in error
    assert not (tmp_path / "runs").exists()


def test_worse_images(finished, tmp_path, monkeypatch, capsys):
    """What does nothing costs nothing; of black images all are taken for one class.

    The network tells the classes by their brightness.
    """

    def by_brightness(*model, **options):
        middle = np.array([30, 90, 150])
        return lambda _, x: -np.abs(x.mean((2, 3, 4), np.float32)[..., None] - middle)

    monkeypatch.setattr(evaluate, "make_eval_step", by_brightness)
    made = {
        "nothing": lambda x, i, rng, landmarks: x,
        "darkness": lambda x, i, rng, landmarks: x * (i < 4),
    }
    for name in [*CORRUPTIONS]:
        monkeypatch.delitem(CORRUPTIONS, name)
    for name, corruption in made.items():
        monkeypatch.setitem(CORRUPTIONS, name, corruption)
    config, folder = toy.config(), finished / "plain"
    options = dict(corruptions=True, grouped=tmp_path / "groups.csv")
    options["grouped"].write_text("id,age\ntest/5,old\ntest/1,young\n")
    assert main.run("eval", config, folder, "command", **options) == 0
    measured, _ = written(folder)
    clean, robust = measured["metrics"]["accuracy"], measured["robustness"]
    assert clean == 1
    assert robust["accuracy"]["nothing"] == [clean] * 5
    assert robust["accuracy"]["darkness"] == [clean] * 4 + [7 / 21]
    assert robust["mean"] == pytest.approx((9 * clean + 7 / 21) / 10)
    printed = capsys.readouterr().out
    text = f"mean corruption accuracy {100 * robust['mean']:.1f}, without"
    assert printed.index(text) < printed.index("calibration error  by")
    main.run("eval", config, folder, "command")
    assert not {"robustness", "groups"} & written(folder)[0].keys()


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


def test_a_file_without_groups_ends_the_evaluation_before_it_begins(
    finished, tmp_path, monkeypatch, capsys
):
    (tmp_path / "groups.csv").write_text("id,age\n0,old\n")
    monkeypatch.setattr(evaluate, "predict_split", None)  # nothing is classified
    options = dict(grouped=tmp_path / "groups.csv")
    assert main.run("eval", toy.config(), finished / "plain", "command", **options) == 1
    error = capsys.readouterr().err
    assert "error: " in error and "called 'test/0' and so on, in the file '0'" in error
