"""What an evaluation measures on request: worse images, and groups of people."""

import numpy as np
import pytest
import toy
from toy_runs import written

from qcs_jax import main
from qcs_jax.evaluate.counts import Counts
from qcs_jax.images.corruptions import CORRUPTIONS
from qcs_jax.train import evaluate
from qcs_jax.train.evaluate import evaluate_run


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
