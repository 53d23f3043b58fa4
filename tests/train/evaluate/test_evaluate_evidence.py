"""What an evaluation measures on request: worse images, and groups of people."""

import numpy as np
import pytest
import toy
from toy import written

from qcs_jax import main
from qcs_jax.evaluate.counts import Counts
from qcs_jax.images.corruptions import CORRUPTIONS
from qcs_jax.train import evaluate


def test_worse_images(finished, tmp_path, monkeypatch, capsys):
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
    options = dict(corruptions=True, grouped=tmp_path / "groups.csv")
    options["grouped"].write_text("id,age\ntest/5,old\ntest/1,young\n")
    assert main.run("eval", config, folder, "command", **options) == 0
    measured, _ = written(folder)
    clean, robust = measured["metrics"]["accuracy"], measured["robustness"]
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
