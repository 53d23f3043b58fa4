"""What an evaluation measures on request: worse images, and groups of people."""

import numpy as np
import pytest
import toy
from toy_runs import written

from qcs_jax import main
from qcs_jax.evaluate.counts import Counts
from qcs_jax.images.corruptions import CORRUPTIONS
from qcs_jax.train import evaluate


def test_worse_images_and_groups_of_people(finished, tmp_path, monkeypatch, capsys):
    """What does nothing costs nothing; of black images all are taken for one class.

    Numbers of each group are those of its images, whatever else is measured.
    """
    made = {
        "nothing": lambda x, i, rng, landmarks: x,
        "darkness": lambda x, i, rng, landmarks: x * (i < 4),
    }
    for name in [*CORRUPTIONS]:
        monkeypatch.delitem(CORRUPTIONS, name)
    for name, corruption in made.items():
        monkeypatch.setitem(CORRUPTIONS, name, corruption)
    file = tmp_path / "groups.csv"
    lines = [f"test/{i},{'old' if i < 10 else 'young'}" for i in range(18)]
    file.write_text("\n".join(["id,age", *reversed(lines), "train/0,old"]))
    folder = finished / "plain"
    arguments = "eval", toy.config(), folder, "command"
    assert main.run(*arguments, corruptions=True, grouped=file) == 0
    printed = capsys.readouterr().out
    measured, predicted = written(folder)
    clean, robust = measured["metrics"]["accuracy"], measured["robustness"]
    assert robust["accuracy"]["nothing"] == [clean] * 5
    assert robust["accuracy"]["darkness"] == [clean] * 4 + [7 / 21]
    assert robust["mean"] == pytest.approx((9 * clean + 7 / 21) / 10)
    [column] = measured["groups"]["columns"]
    assert (column["column"], column["unknown"]) == ("age", 3)
    assert [x["group"] for x in column["groups"]] == ["old", "young"]
    ages = [*range(10)], [*range(10, 18)]
    for group, members in zip(column["groups"], ages, strict=True):
        log_p = np.log(predicted.probabilities[members])
        expected = Counts.of(log_p, predicted.labels[members]).metrics()
        for name in ("examples", "accuracy", "nll", "ece"):
            assert group[name] == pytest.approx(expected[name], rel=1e-4)
    text = f"mean corruption accuracy {100 * robust['mean']:.1f}, without"
    assert printed.index(text) < printed.index("calibration error  by")
    for part in (
        f"note: {file} lacks 3 of 21 test images",
        f"note: {file} has 1 images that are not in the test",
        "old *        10",
        "3 images belong to no known group.",
    ):
        assert part in printed
    assert main.run(*arguments) == 0
    assert not {"robustness", "groups"} & written(folder)[0].keys()


def test_a_file_without_groups_ends_the_evaluation_before_it_begins(
    finished, tmp_path, monkeypatch, capsys
):
    file = tmp_path / "groups.csv"
    file.write_text("id,age\n0,old\n")
    monkeypatch.setattr(evaluate, "predict_split", None)  # nothing is classified
    arguments = "eval", toy.config(), finished / "plain", "command"
    assert main.run(*arguments, grouped=file) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert "called 'test/0' and so on, in the file '0'" in error
