"""Rows of a table beside each other: what counts, and how it is told."""

import csv

import fake_runs
import numpy as np
import pytest

from qcs_jax.evaluate import comparison as table
from qcs_jax.evaluate import evidence, latex, paired, predictions, significance
from qcs_jax.evaluate.rows import Group
from qcs_jax.evaluate.runs import read_run

IDS = [f"{i:03d}.jpg" for i in range(200)]
LABELS = np.arange(200) % 2
ACCURACY = {"a": 0.9, "b": 0.8, "c": 0.8}


def right(row, seed):
    """Whether a made-up run is right about each image."""
    rng = np.random.default_rng([ord(row[0]), seed])
    return rng.random(200) < ACCURACY[row]


def run(folder, row, seed, *, order=None, labels=LABELS, ids=IDS):
    """A finished and evaluated run, whose file has the images in some order."""
    config = fake_runs.config(seed=seed)
    workdir = fake_runs.write(folder / row / f"seed{seed}", config, (0.5, 0.7, 0.6))
    chosen = np.where(right(row, seed), labels, 1 - labels)
    order = np.arange(200) if order is None else order
    answers = np.eye(2)[chosen[order]], ["calm", "sad"]
    names = [ids[i] for i in order]
    predictions.write(workdir / "predictions.csv", names, labels[order], *answers)
    fake_runs.evaluate(workdir)
    return read_run(workdir)


def groups(folder, seeds=(0, 1, 2)):
    return [
        Group(row, tuple(run(folder, row, seed) for seed in seeds)) for row in ACCURACY
    ]


def correct(row, seeds=(0, 1, 2)):
    return np.stack([right(row, seed) for seed in seeds])


def test_rows_are_compared_with_one_of_them(tmp_path):
    found, notes = evidence.gather(groups(tmp_path), "b")
    assert not notes and found[1].versus is None
    assert found[0].accuracy == paired.accuracy(correct("a"))
    expected = [paired.difference(correct(row), correct("b")) for row in "ac"]
    versus = [found[0].versus, found[2].versus]
    assert [v.difference for v in versus] == expected
    assert [v.label for v in versus] == ["b", "b"]
    corrected = significance.holm([x.p_images for x in expected])
    assert [v.p_images for v in versus] == corrected
    assert [v.p_seeds for v in versus] == significance.holm(
        [x.p_seeds for x in expected]
    )
    assert corrected != [x.p_images for x in expected]


def test_no_row_to_compare_with(tmp_path):
    found, _ = evidence.gather(groups(tmp_path))
    assert all(x.accuracy and x.versus is None for x in found)


def test_images_are_matched_by_name(tmp_path):
    plain = groups(tmp_path / "x")
    shuffled = [plain[0], Group("b", tuple(
        run(tmp_path / "y", "b", s, order=np.random.default_rng(s).permutation(200))
        for s in range(3)
    ))]  # fmt: skip
    (a, _), _ = evidence.gather(plain[:2], "b")
    (b, _), _ = evidence.gather(shuffled, "b")
    assert a == b


def test_only_common_seeds_are_compared(tmp_path):
    a = Group("a", tuple(run(tmp_path, "a", seed) for seed in (0, 1, 2)))
    b = Group("b", tuple(run(tmp_path, "b", seed) for seed in (1, 2, 5)))
    (found, _), _ = evidence.gather([a, b], "b")
    assert found.seeds == (0, 1, 2) and found.versus.seeds == (1, 2)
    expected = paired.difference(correct("a", (1, 2)), correct("b", (1, 2)))
    assert found.versus.difference == expected
    alone = Group("b", tuple(run(tmp_path, "b", seed) for seed in (7,)))
    (found, _), notes = evidence.gather([a, alone], "b")
    assert found.versus is None and notes == ["a and b have no seed in common"]


def test_settings_are_compared_within(tmp_path):
    rows = groups(tmp_path)[:2]
    swept = [
        Group(g.label, g.runs, setting) for setting in ("x=1", "x=2") for g in rows
    ]
    found, _ = evidence.gather(swept[:3], "b")
    assert [x.versus is None for x in found] == [False, True, True]  # no b at x=2


def test_runs_that_were_not_evaluated_have_no_say(tmp_path):
    rows = groups(tmp_path)
    log = tmp_path / "a" / "seed1" / "log.jsonl"
    log.write_text(log.read_text().replace("0.6", "0.61"))  # trained anew
    (tmp_path / "c" / "seed0" / "predictions.csv").unlink()
    rows = [Group(g.label, tuple(read_run(x.workdir) for x in g.runs)) for g in rows]
    found, notes = evidence.gather(rows, "b")
    assert [x.seeds for x in found] == [(0, 2), (0, 1, 2), (1, 2)]
    assert found[0].versus.seeds == (0, 2) and not notes
    for path in tmp_path.glob("a/*/metrics.json"):
        path.unlink()
    assert evidence.gather(rows, "b")[0][0] is None


@pytest.mark.parametrize(
    "changed, note",
    [
        (dict(labels=1 - LABELS), "not compared, tested on other images"),
        (dict(ids=[f"x{i}" for i in range(200)]), "not compared, tested on other"),
        (dict(ids=["same.jpg"] * 200), "not compared, 'same.jpg' occurs twice"),
    ],
)
def test_other_images_within_a_row(tmp_path, changed, note):
    runs = run(tmp_path, "a", 0), run(tmp_path, "a", 1, **changed)
    [found], notes = evidence.gather([Group("a", runs)])
    assert found.seeds == (0,)
    assert [x.startswith(note) for x in notes] == [True]


def test_rows_about_different_images(tmp_path):
    a = Group("a", (run(tmp_path, "a", 0),))
    b = Group("b", (run(tmp_path, "b", 0, ids=[f"x{i}" for i in range(200)]),))
    (found, _), notes = evidence.gather([a, b], "b")
    assert found.versus is None and notes == ["a and b were tested on different images"]


def test_what_is_printed_and_written(tmp_path, capsys):
    lines = table.show(groups(tmp_path / "runs"), tmp_path / "out", against="b")
    out = capsys.readouterr().out
    a = lines[0].versus.difference
    header, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in out.splitlines()
        if line.startswith(("| evaluated", "| a ", "| b ", "| c "))
    ][3:]
    of_accuracy = ["evaluated", "accuracy", "over images", "over seeds"]
    assert header == [*of_accuracy, "minus b", "over images", "p", "over seeds", "p"]
    assert rows[0][4] == f"{100 * a.mean:+.2f}"
    assert rows[0][5] == f"{100 * a.images[0]:+.2f} to {100 * a.images[1]:+.2f}"
    assert rows[0][6] == "< 0.0001" and rows[1][4:] == ["-"] * 5
    assert "corrected for 2 comparisons by Holm's method" in out
    with (tmp_path / "out" / "evidence.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [x["variant"] for x in written] == ["a", "b", "c"]
    assert float(written[0]["difference"]) == pytest.approx(100 * a.mean, abs=1e-3)
    assert float(written[0]["p_images"]) == pytest.approx(a.p_images, rel=1e-4)
    assert written[1]["against"] == written[1]["difference"] == ""


def test_latex(tmp_path):
    rows = groups(tmp_path / "runs")
    rows = [Group(r"50 % of a_1 & \x", rows[0].runs, "x=1"), *rows[1:]]
    rows = [Group(g.label, g.runs, "x=1") for g in rows]
    table.show(rows, tmp_path, against="b")
    text = (tmp_path / "comparison.tex").read_text()
    assert r"50 \% of a\_1 \& \textbackslash{}x & $60.00 \pm 0.00$ & " in text
    assert r"{}^*" in text and r"\caption{toy, x=1. " in text
    [columns] = [line for line in text.splitlines() if "begin{tabular}" in line]
    count = columns.count("r", columns.index("{lr"))
    cells = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(cells) == 4
    assert {line.replace(r"\&", "").count("&") for line in cells} == {count}
    assert latex.escaped("a^b~{}") == r"a\textasciicircum{}b\textasciitilde{}\{\}"
