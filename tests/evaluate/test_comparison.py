"""Tables over seeds: what is averaged, compared and left out, and how it is written."""

import csv
import json
import pathlib
import re

import manuals
import numpy as np
import pandas as pd
import pytest
import saved

from qcs_jax.evaluate import compare_command as command
from qcs_jax.evaluate import comparison, evidence, predictions, uncertainty
from qcs_jax.evaluate.runs import Variant, read_run

MANUAL = pathlib.Path(__file__).parents[2] / "qcs_jax/evaluate/README.md"


def add(folder, test=(0.5, 0.7, 0.6), held_out=(), **fields):
    return saved.untrained(folder, saved.config(**fields), test, held_out)


def compared(capsys, *arguments):
    assert command.main([str(a) for a in arguments]) == 0
    return capsys.readouterr().out


def rows_of(text):
    """Cells of the Markdown tables, without the rules."""
    lines = [x for x in text.splitlines() if x.startswith("| ") and "| --" not in x]
    return [[c.strip() for c in x.strip("|").split("|")] for x in lines]


def read_csv(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_three_numbers_over_seeds(tmp_path, capsys):
    lasts, bests = [0.60, 0.62, 0.67], [0.70, 0.71, 0.78]
    for seed, (last, best) in enumerate(zip(lasts, bests, strict=True)):
        held_out = (0.9, 0.8, 0.7) if seed else ()
        add(tmp_path / f"r{seed}", (0.5, best, last), held_out, seed=seed)
    out = compared(capsys, tmp_path, "--out", tmp_path / "out")
    header, row = rows_of(out)
    assert header == [
        *("variant", "last epoch", "best run", "mean class"),
        *("best epoch on held-out", "best run"),
        *("best epoch on test (optimistic)", "best run"),
    ]
    std = [100 * np.std(values, ddof=1) for values in (lasts, bests)]
    assert row == [
        *("qcs", f"63.00 ± {std[0]:.2f} (3)", "67.00", "31.50"),
        *("50.00 ± 0.00 (2)", "50.00"),  # the epoch that held-out images chose
        *(f"73.00 ± {std[1]:.2f} (3)", "78.00"),
    ]
    assert rows_of((tmp_path / "out" / "comparison.md").read_text()) == [header, row]
    numbers = read_csv(tmp_path / "out" / "comparison.csv")
    assert {x["number"]: (x["n"], x["mean"], x["max"]) for x in numbers} == {
        "last epoch": ("3", "63.00", "67.00"),
        "best epoch on held-out": ("2", "50.00", "50.00"),
        "best epoch on test (optimistic)": ("3", "73.00", "78.00"),
    }
    assert numbers[0]["seeds"] == "0 1 2" and numbers[0]["paper"] == ""


def test_what_stands_beside_and_lines_up(tmp_path, capsys):
    log = add(tmp_path / "a", data__name="raf_db") / "log.jsonl"
    lines = [json.loads(text) for text in log.read_text().splitlines()]
    beside = {"most_frequent": 0.25, "chance": 1 / 7}
    log.write_text("".join(json.dumps(x | beside) + "\n" for x in lines))
    add(tmp_path / "b", data__name="raf_db", loss__alpha=0.5)
    out = compared(capsys, tmp_path, "--out", tmp_path)
    assert "\n\nAlways the most frequent class: 25.00. Chance: 14.29.\n" in out
    header, *rows = rows_of(out)
    assert header[-1] == "paper" and "held-out" not in out
    assert [row[-1] for row in rows] == ["-", "92.50 (Table 3)"]
    assert "92.50,3\n" in (tmp_path / "comparison.csv").read_text()


def test_unfinished_runs_and_repeated_seeds_are_named_and_left_out(tmp_path, capsys):
    add(tmp_path / "a", (0.5, 0.6, 0.7), seed=4)
    add(tmp_path / "again", (0.5, 0.6, 0.9), seed=4)
    add(tmp_path / "b", (0.5, 0.9), seed=1)
    add(tmp_path / "d", (0.5, 0.6, 0.8), seed=5)
    add(tmp_path / "none", (), model__name="dcs")
    out = compared(capsys, tmp_path)
    [_, [label, mean, *_]] = rows_of(out)
    assert label == "qcs" and mean == "75.00 ± 7.07 (2)" and "paper" not in out.lower()
    assert f"- not finished, left out: {tmp_path / 'b'} (2 of 3 epochs)" in out
    assert f"{tmp_path / 'none'} (0 of 3 epochs)" in out
    assert f"seed 4 again, not independent, left out: {tmp_path / 'again'}" in out
    assert "No run is finished." in compared(capsys, tmp_path / "b")


IDS = [f"{i:03d}.jpg" for i in range(200)]
OTHERS = [f"x{i}" for i in range(200)]
LABELS = np.arange(200) % 2
ACCURACY = {"a": 0.9, "b": 0.8, "c": 0.8}


def correct(row, seeds=(0, 1, 2)):
    """Whether made-up runs are right about each image."""
    draws = [np.random.default_rng([ord(row[0]), seed]).random(200) for seed in seeds]
    return np.stack(draws) < ACCURACY[row]


def run(folder, row, seed, *, order=slice(None), labels=LABELS, ids=IDS):
    """A finished and evaluated run, whose file has the images in some order."""
    config = saved.config(seed=seed)
    workdir = saved.untrained(folder / row / f"seed{seed}", config, (0.5, 0.7, 0.6))
    [right] = correct(row, [seed])
    answers = np.eye(2)[np.where(right, labels, 1 - labels)[order]], ["calm", "sad"]
    path = workdir / "predictions.csv"
    predictions.write(path, np.array(ids)[order], labels[order], *answers)
    saved.scored(workdir)
    return read_run(workdir)


def variant(folder, row, seeds=(0, 1, 2), **options):
    return Variant(row, tuple(run(folder, row, seed, **options) for seed in seeds))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [variant(folder, row) for row in ACCURACY]


def numbers_of(row, name):
    """`name` and its intervals, as fractions."""
    prefix = "" if name == "accuracy" else f"{name}_"
    ends = ("images_low", "images_high", "seeds_low", "seeds_high")
    values = {"mean": row[name]} | {end: row[prefix + end] for end in ends}
    return {key: value / 100 for key, value in values.items()}


def test_rows_are_compared_with_one_of_them(rows):
    found, notes = evidence.gather(rows, "b")
    assert not notes and found["against"].isna().tolist() == [False, True, False]
    accuracy = uncertainty.accuracy(correct("a"))
    assert numbers_of(found.loc[0], "accuracy") == pytest.approx(accuracy)
    expected = [uncertainty.difference(correct(x), correct("b")) for x in "ac"]
    for row, difference in zip((found.loc[0], found.loc[2]), expected, strict=True):
        p = {name: row[name] for name in ("p_images", "p_seeds")}
        assert numbers_of(row, "difference") | p == pytest.approx(difference)
    for kind in ("p_images", "p_seeds"):
        p = [x[kind] for x in expected]
        corrected = found[f"{kind}_corrected"].dropna().tolist()
        assert corrected == uncertainty.holm(p) != p
    alone, _ = evidence.gather(rows)
    assert alone["accuracy"].notna().all() and alone["difference"].isna().all()
    swept = [Variant(v.label, v.runs, x) for x in ("x=1", "x=2") for v in rows[:2]]
    found, _ = evidence.gather(swept[:3], "b")
    assert found["against"].isna().tolist() == [False, True, True]  # no b at x=2


def test_images_are_matched_by_name_and_runs_by_seed(rows, tmp_path):
    order = np.random.default_rng(0).permutation(200)
    shuffled = [rows[0], variant(tmp_path, "b", order=order)]
    expected, _ = evidence.gather(rows[:2], "b")
    pd.testing.assert_frame_equal(evidence.gather(shuffled, "b")[0], expected)
    found, _ = evidence.gather([rows[0], variant(tmp_path / "y", "b", (1, 2, 5))], "b")
    assert found.loc[0, ["seeds", "common_seeds"]].tolist() == ["0 1 2", "1 2"]
    expected = uncertainty.difference(correct("a", (1, 2)), correct("b", (1, 2)))
    assert found.loc[0, "difference"] == pytest.approx(100 * expected["mean"])
    for other, note in (
        (variant(tmp_path / "x", "b", ids=OTHERS), "were tested on different images"),
        (variant(tmp_path / "z", "b", (7,)), "have no seed in common"),
    ):
        found, notes = evidence.gather([rows[0], other], "b")
        assert found["difference"].isna().all() and notes == [f"a and b {note}"]


def test_runs_that_were_not_evaluated_have_no_say(tmp_path):
    rows = [variant(tmp_path, row) for row in ACCURACY]
    log = tmp_path / "a" / "seed1" / "log.jsonl"
    log.write_text(log.read_text().replace("0.6", "0.61"))  # trained anew
    (tmp_path / "c" / "seed0" / "predictions.csv").unlink()
    rows = [Variant(v.label, tuple(read_run(x.workdir) for x in v.runs)) for v in rows]
    found, notes = evidence.gather(rows, "b")
    assert found["seeds"].tolist() == ["0 2", "0 1 2", "1 2"]
    assert found.loc[0, "common_seeds"] == "0 2" and not notes
    for path in tmp_path.glob("a/*/metrics.json"):
        path.unlink()
    assert np.isnan(evidence.gather(rows, "b")[0].loc[0, "accuracy"])


def test_other_images_within_a_row(rows, tmp_path):
    others = [
        run(tmp_path, "a", 1, labels=1 - LABELS),
        run(tmp_path, "a", 2, ids=OTHERS),
        run(tmp_path, "a", 3, ids=["same.jpg"] * 200),
    ]
    found, notes = evidence.gather([Variant("a", (rows[0].runs[0], *others))])
    assert found["seeds"].tolist() == ["0"]
    reasons = [*["tested on other images"] * 2, "'same.jpg' occurs twice"]
    assert [f"not compared, {x}" for x in reasons] == [x.split(":")[0] for x in notes]


def test_what_is_printed_and_written_of_the_evidence(rows, tmp_path, capsys):
    a = comparison.show(rows, tmp_path, against="b").loc[0]
    out = capsys.readouterr().out
    header, *cells = rows_of(out)[4:]
    of_accuracy = ["evaluated", "accuracy", "over images", "over seeds"]
    assert header == [*of_accuracy, "minus b", "over images", "p", "over seeds", "p"]
    low, high = a["difference_images_low"], a["difference_images_high"]
    difference = f"{a['difference']:+.2f}", f"{low:+.2f} to {high:+.2f}", "< 0.0001"
    assert cells[0][4:7] == [*difference] and cells[1][4:] == ["-"] * 5
    assert "corrected for 2 comparisons by Holm's method" in out
    written, b, _ = read_csv(tmp_path / "evidence.csv")
    assert float(written["difference"]) == pytest.approx(a["difference"], abs=1e-3)
    assert float(written["p_images"]) == pytest.approx(a["p_images"], rel=1e-4)
    assert b["variant"] == "b" and b["against"] == b["difference"] == ""


def test_latex(rows, tmp_path):
    labels = (r"50 % of a_1 & \x^b~{}", "b", "c")
    swept = [Variant(x, v.runs, "x=1") for x, v in zip(labels, rows, strict=True)]
    swept.append(Variant("alone", rows[0].runs[:1], "x=2"))
    comparison.show(swept, tmp_path, against="b")
    text = (tmp_path / "comparison.tex").read_text()
    label = r"50 \% of a\_1 \& \textbackslash{}x\textasciicircum{}b\textasciitilde{}"
    assert rf"{label}\{{\}} & $60.00 \pm 0.00$ & " in text
    assert r"{}^*" in text and r"\caption{toy, x=1. " in text and r"\toprule" in text
    assert re.search(r"alone & \$60.00\$ & \$[0-9.]+\$--\$[0-9.]+\$ & -- \\\\", text)
    cells = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(cells) == 6
    assert {line.replace(r"\&", "").count("&") for line in cells[:4]} == {4}


def test_two_prediction_files(rows, capsys):
    files = [str(v.runs[0].workdir / "predictions.csv") for v in rows]
    out = compared(capsys, *files[:2])
    lines = [line.split() for line in out.splitlines()]
    assert ["of", "200", "images"] in lines and "p (exact, two-sided)" in out
    [a], [b] = correct("a", [0]), correct("b", [0])
    counts = [(a & ~b).sum(), (b & ~a).sum(), (a == b).sum()]
    assert [int(x[-1]) for x in lines if x[0] == "right"] == counts
    for pair in (files[:2], files[1::-1]):
        assert f"{files[0]} is better than {files[1]}" in compared(capsys, *pair)
    assert f"{files[1]} and {files[2]} cannot be told" in compared(capsys, *files[1:])


@pytest.mark.parametrize(
    "words", manuals.commands(MANUAL, "qcs-jax compare"), ids=" ".join
)
def test_commands_of_the_manual(words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("dcs", "qcs"):
        folder = add(tmp_path / "runs" / "networks" / name / "seed0", model__name=name)
        answers = ["x.jpg"], np.array([0]), np.eye(2)[:1], ["calm", "sad"]
        predictions.write(folder / "predictions.csv", *answers)
    out = compared(capsys, *words)
    assert "dcs" in out and "qcs" in out
