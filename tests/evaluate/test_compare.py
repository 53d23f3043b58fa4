"""Tables over seeds: what is averaged, what is left out, and what the paper says."""

import csv
import json
import pathlib
import re
import runpy

import fake_runs
import manuals
import numpy as np
import pytest

from qcs_jax.evaluate import compare_command as command
from qcs_jax.evaluate import predictions, published
from qcs_jax.evaluate.lines import Line, Statistic
from qcs_jax.evaluate.markdown import markdown
from qcs_jax.evaluate.rows import group_runs
from qcs_jax.evaluate.runs import find_runs, read_run

ROOT = pathlib.Path(__file__).parents[2]


def add(folder, test=(0.5, 0.7, 0.6), held_out=(), started_from=None, **fields):
    c = fake_runs.config(**fields)
    return fake_runs.write(folder, c, test, held_out, started_from)


def groups_in(*arguments):
    return group_runs(find_runs([str(a) for a in arguments]))


def compared(capsys, *arguments, status=0):
    assert command.main([str(a) for a in arguments]) == status
    return capsys.readouterr()


def rows_of(text):
    """Cells of the Markdown tables, without the rules."""
    lines = [x for x in text.splitlines() if x.startswith("| ") and "| --" not in x]
    return [[c.strip() for c in x.strip("|").split("|")] for x in lines]


def test_mean_and_std_are_numpys():
    values = [0.9123, 0.9211, 0.9054, 0.9187]
    found = Statistic.of(values)
    assert found.n == 4
    assert found.mean == pytest.approx(100 * np.mean(values))
    assert found.std == pytest.approx(100 * np.std(values, ddof=1))
    assert found.max == pytest.approx(92.11)
    assert Statistic.of([0.5]).spread == "-"
    assert Statistic.of([]) is None


def test_three_numbers_over_seeds(tmp_path, capsys):
    lasts, bests = [0.60, 0.62, 0.67], [0.70, 0.71, 0.78]
    for seed, (last, best) in enumerate(zip(lasts, bests, strict=True)):
        held_out = (0.9, 0.8, 0.7) if seed else ()
        add(tmp_path / f"r{seed}", (0.5, best, last), held_out, seed=seed)
    header, row = rows_of(compared(capsys, tmp_path, "--out", tmp_path / "out").out)
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
    written = (tmp_path / "out" / "comparison.md").read_text()
    assert rows_of(written) == [header, row]
    with (tmp_path / "out" / "comparison.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert {x["number"]: (x["n"], x["mean"], x["max"]) for x in lines} == {
        "last epoch": ("3", "63.00", "67.00"),
        "best epoch on held-out": ("2", "50.00", "50.00"),
        "best epoch on test (optimistic)": ("3", "73.00", "78.00"),
    }
    assert lines[0]["seeds"] == "0 1 2"


def test_no_column_for_what_no_run_has(tmp_path, capsys):
    add(tmp_path / "a")
    out = compared(capsys, tmp_path).out
    assert "held-out" not in out and "paper" not in out.lower()


def test_lines_are_aligned(tmp_path, capsys):
    add(tmp_path / "a", model__name="baseline")
    add(tmp_path / "b", model__information="s")
    add(tmp_path / "c", model__information="d", seed=1)
    table = [x for x in compared(capsys, tmp_path).out.splitlines() if x[:1] == "|"]
    assert len(table) == 5
    places = [[m.start() for m in re.finditer(r"\|", line)] for line in table]
    assert all(p == places[0] for p in places)


def test_groups_differ_in_more_than_seed_and_place(tmp_path):
    add(tmp_path / "a", seed=0, name="a", data__dir="/x", train__log_every=3)
    add(tmp_path / "b", seed=1, name="b", data__workers=4, train__tensorboard=False)
    add(tmp_path / "c", model__information="s")
    add(tmp_path / "d", model__information="s", loss__alpha=0.5)
    add(tmp_path / "e", model__name="dcs", model__information="s")
    add(tmp_path / "f", data__name="another")
    found = [(g.dataset, g.label, len(g.runs)) for g in groups_in(tmp_path)]
    assert found == [
        ("another", "qcs", 1),
        ("toy", "dcs", 1),
        ("toy", "qcs, alpha=0.5, information=s", 1),
        ("toy", "qcs, alpha=1, information=s", 1),
        ("toy", "qcs, alpha=1, information=sd", 2),
    ]


def test_close_values_are_told_apart(tmp_path):
    for name, alpha in (("a", 0.1234567), ("b", 0.1234568)):
        add(tmp_path / name, loss__alpha=alpha)
    labels = [g.label for g in groups_in(tmp_path)]
    assert labels == ["qcs, alpha=0.1234567", "qcs, alpha=0.1234568"]


def test_unfinished_runs_are_named_and_left_out(tmp_path, capsys):
    add(tmp_path / "a", (0.5, 0.6, 0.7), seed=0)
    add(tmp_path / "b", (0.5, 0.9), seed=1)
    add(tmp_path / "c", (), seed=2)
    out = compared(capsys, tmp_path).out
    assert rows_of(out)[1][1] == "70.00 ± - (1)"
    assert f"- not finished, left out: {tmp_path / 'b'} (2 of 3 epochs)" in out
    assert f"{tmp_path / 'c'} (0 of 3 epochs)" in out
    out = compared(capsys, tmp_path / "b").out
    assert "No run is finished." in out and "2 of 3 epochs" in out


def test_a_seed_counts_once(tmp_path, capsys):
    add(tmp_path / "a", (0.5, 0.6, 0.7), seed=4)
    add(tmp_path / "b", (0.5, 0.6, 0.9), seed=4)
    add(tmp_path / "c", (0.5, 0.6, 0.8), seed=5)
    out = compared(capsys, tmp_path).out
    assert rows_of(out)[1][1].startswith("75.00 ± 7.07 (2)")
    assert f"seed 4 again, not independent, left out: {tmp_path / 'b'}" in out


def test_runs_are_found_once_whatever_names_them(tmp_path):
    a = add(tmp_path / "x" / "a")
    b = add(tmp_path / "x" / "deep" / "b", seed=1)
    # A checkpoint may have a file of that name; no run is in there.
    add(a / "checkpoints" / "30")
    (tmp_path / "x" / "notes.txt").write_text("")
    (tmp_path / "link").symlink_to(a)
    for arguments in (
        [tmp_path],
        [tmp_path / "x" / "*"],
        [tmp_path / "x" / "**" / "b", a, a, tmp_path / "link"],
    ):
        runs = find_runs([str(argument) for argument in arguments])
        assert {run.workdir.resolve() for run in runs} == {a, b}
        assert len(runs) == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere"], "there is no nowhere"),
        (["none*"], "there is no none*"),
        (["."], "no runs in .: give the --workdir of a run"),
        (["a.csv", "b.csv", "c.csv"], "two at a time"),
        (["a.csv", "run"], "holds no predictions"),
        (["a.csv", "b.csv", "--out=x"], "no --out"),
    ],
)
def test_mistakes(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("")
    err = compared(capsys, *arguments, status=1).err
    assert err.startswith("error: ") and message in err


def test_a_folder_of_something_else(tmp_path, capsys):
    add(tmp_path / "a")
    (tmp_path / "a" / "config.json").write_text('{"model_type": "vit"}')
    assert "it has no config.seed" in compared(capsys, tmp_path, status=1).err


def test_a_run_with_other_fields(tmp_path, capsys):
    path = add(tmp_path / "a") / "config.json"
    description = json.loads(path.read_text())
    description["config"]["data"]["label_quality"] = 1.0
    path.write_text(json.dumps(description))
    err = compared(capsys, tmp_path, status=1).err
    assert err.startswith(f"error: {path} was written by another version of qcs_jax")
    assert "know the field data.label_quality" in err and "leave this folder out" in err


def test_a_run_of_a_version_without_some_fields(tmp_path):
    path = add(tmp_path / "a") / "config.json"
    wanted = read_run(path.parent).config
    description = json.loads(path.read_text())
    del description["config"]["data"]["label_noise"]
    del description["config"]["optimizer"]["schedule"]
    path.write_text(json.dumps(description))
    assert read_run(path.parent).config == wanted


def test_accuracy_is_shown_beside_answers_without_looking(tmp_path):
    log = add(tmp_path / "a") / "log.jsonl"
    lines = [json.loads(text) for text in log.read_text().splitlines()]
    told = {"most_frequent": 0.25, "chance": 1 / 7}
    log.write_text("".join(json.dumps(x | told) + "\n" for x in lines))
    text = markdown([Line.of(group) for group in groups_in(tmp_path)])
    assert "\n\nAlways the most frequent class: 25.00. Chance: 14.29.\n" in text


def published_config(dataset="raf_db", **fields):
    return fake_runs.flat(fake_runs.config(data__name=dataset, **fields))


@pytest.mark.parametrize(
    "fields, table, expected",
    [
        ({}, None, (3, 92.50)),
        ({}, 2, (2, 92.47)),
        ({}, 1, None),
        (dict(model__name="dcs"), None, (3, 92.57)),
        (dict(model__name="dcs", dataset="ferplus"), None, (3, 91.41)),
        (dict(model__name="dcs", dataset="ferplus"), 1, (1, 91.22)),
        (dict(model__name="baseline"), None, (1, 92.05)),
        (dict(model__name="dcs", model__connection="none"), None, (1, 91.98)),
        (dict(model__information="d", dataset="ferplus"), None, (2, 90.96)),
        (dict(dataset="affectnet/8"), None, (3, 64.30)),
        (dict(dataset="affectnet/7", model__name="dcs"), None, (3, 67.66)),
        (dict(dataset="affectnet/7", model__information="s"), None, None),
        (dict(name="raf_qcs_finetune"), None, (3, 92.50)),
        (dict(model__size="tiny"), None, None),
        (dict(model__gamma=0.5), None, None),
        (dict(loss__distillation="mse", model__name="dcs"), None, None),
        (dict(data__train_fraction=0.1), None, None),
        (dict(data__val_fraction=0.1), None, (3, 92.50)),
        (dict(data__val_fraction=0.5), None, None),
        (dict(optimizer__rho=0.0), None, None),
        (dict(init_from="ir50.pth"), None, None),  # of an earlier version
        (dict(init_from="runs/affectnet8_qcs"), None, None),
        (dict(dataset="toy"), None, None),
    ],
    ids=str,
)
def test_what_the_paper_says(fields, table, expected):
    config = published_config(**fields)
    found = published.find(config, table)
    if expected is None:
        assert found is None
    else:
        assert (found.table, found.percent[config["data.name"]]) == expected


BACKBONE = {"network": "backbone"}


def run_of(dataset="affectnet/8", started_from=BACKBONE, **fields):
    """What a run records where it starts from one of this kind."""
    config = fake_runs.config(**{"data__name": dataset, "init_from": "x"} | fields)
    described = {"config": config.to_dict(), "started_from": started_from}
    return json.loads(json.dumps(described))


@pytest.mark.parametrize(
    "started_from, expected",
    [
        (BACKBONE, 92.50),
        ({"network": "qcs"}, None),  # a PyTorch file, of who knows which data
        (run_of(), 93.02),
        (run_of(started_from=None, init_from=""), 93.02),
        (run_of(model__name="dcs"), None),
        (run_of(model__size="tiny"), None),
        (run_of(model__information="s"), None),
        (run_of("affectnet/7"), None),
        (run_of("raf_db"), None),
        (run_of(started_from={"network": "qcs"}), None),
        (run_of(started_from=run_of("ferplus")), None),
    ],
)
@pytest.mark.parametrize("name", ["raf_qcs_finetune", "mine"])
def test_what_a_run_starts_from_tells_the_papers_number(started_from, expected, name):
    """Neither its own name nor that of a path does."""
    config = published_config(name=name, init_from="x.pth")
    found = published.find(config, None, started_from)
    assert (found and found.percent["raf_db"]) == expected


def test_one_number_of_the_paper_for_runs_that_start_alike(tmp_path):
    fields = dict(data__name="raf_db", init_from="runs/affectnet8_qcs")
    add(tmp_path / "a", started_from=run_of(), **fields, seed=0)
    add(tmp_path / "b", started_from=run_of(), **fields, seed=1)
    [group] = groups_in(tmp_path)
    assert Line.of(group).paper.percent["raf_db"] == 93.02
    add(tmp_path / "c", started_from=run_of("ferplus"), **fields, seed=2)
    [group] = groups_in(tmp_path)
    assert Line.of(group).paper is None


def test_the_recipes_are_what_the_paper_measured():
    names = {"raf_db": "raf", "affectnet/7": "affectnet7", "affectnet/8": "affectnet8"}
    for dataset in published.RESULTS[0].percent:
        path = ROOT / f"configs/{names.get(dataset, dataset)}.py"
        get_config = runpy.run_path(str(path))["get_config"]
        for network, index in (("dcs", 0), ("qcs", 1)):
            found = published.find(fake_runs.flat(get_config(network)))
            assert found is published.RESULTS[index]
            assert f"{found.percent[dataset]:.2f} ({network})" in path.read_text()
            assert not published.find(fake_runs.flat(get_config(f"{network},tiny")))


def test_the_papers_number_stands_beside(tmp_path, capsys):
    add(tmp_path / "a", data__name="raf_db")
    add(tmp_path / "b", data__name="raf_db", loss__alpha=0.5)
    out = compared(capsys, tmp_path, "--out", tmp_path).out
    header, *rows = rows_of(out)
    assert header[-1] == "paper"
    assert [row[-1] for row in rows] == ["-", "92.50 (Table 3)"]
    assert "best of five runs" in out
    assert "92.50,3\n" in (tmp_path / "comparison.csv").read_text()


def test_a_group_without_a_finished_run_has_no_row(tmp_path):
    add(tmp_path / "a", (0.5,))
    add(tmp_path / "b", model__name="dcs")
    text = markdown([Line.of(group) for group in groups_in(tmp_path)])
    assert [row[0] for row in rows_of(text)] == ["variant", "dcs"]


def test_two_prediction_files(tmp_path, capsys):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    ids = [f"{i}.jpg" for i in range(60)]
    for name, share in (("a", 0.9), ("b", 0.4)):
        chosen = np.where(rng.random(60) < share, labels, 1 - labels)
        path = tmp_path / f"{name}.csv"
        predictions.write(path, ids, labels, np.eye(2)[chosen], ["calm", "sad"])
    out = compared(capsys, tmp_path / "a.csv", tmp_path / "b.csv").out
    assert "of 60 images" in out and "p (exact, two-sided)" in out
    assert f"{tmp_path / 'a.csv'} is better than {tmp_path / 'b.csv'}" in out


MANUAL = ROOT / "qcs_jax" / "evaluate" / "COMPARE.md"


@pytest.mark.parametrize(
    "words", manuals.commands(MANUAL, "qcs-jax compare"), ids=" ".join
)
def test_commands_of_the_manual(words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("dcs", "qcs"):
        folder = add(tmp_path / "runs" / "networks" / name / "seed0", model__name=name)
        answers = ["x.jpg"], np.array([0]), np.eye(2)[:1], ["calm", "sad"]
        predictions.write(folder / "predictions.csv", *answers)
    out = compared(capsys, *words).out
    assert "dcs" in out and "qcs" in out
