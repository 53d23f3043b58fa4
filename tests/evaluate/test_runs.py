"""Runs on disk: what they logged, which are found, which differ in the seed alone."""

import json

import pytest
import saved

from qcs_jax.evaluate import compare_command as command
from qcs_jax.evaluate import runs
from qcs_jax.evaluate.runs import find_runs, read_run, variants_of


def add(folder, test=(0.5, 0.7, 0.6), **fields):
    return saved.untrained(folder, saved.config(**fields), test)


def test_variants_differ_in_more_than_seed_and_place(tmp_path):
    add(tmp_path / "a", seed=0, name="a", data__dir="/x", train__log_every=3)
    add(tmp_path / "b", seed=1, name="b", data__workers=4, train__tensorboard=False)
    add(tmp_path / "c", model__information="s")
    add(tmp_path / "d", model__information="s", loss__alpha=0.1234567)
    add(tmp_path / "d2", model__information="s", loss__alpha=0.1234568)
    add(tmp_path / "e", model__name="dcs", model__information="s")
    add(tmp_path / "f", data__name="another")
    variants = variants_of(find_runs([str(tmp_path)]))
    assert [(v.dataset, v.label, len(v.runs)) for v in variants] == [
        ("another", "qcs", 1),
        ("toy", "dcs", 1),
        ("toy", "qcs, alpha=0.1234567, information=s", 1),
        ("toy", "qcs, alpha=0.1234568, information=s", 1),
        ("toy", "qcs, alpha=1, information=s", 1),
        ("toy", "qcs, alpha=1, information=sd", 2),
    ]


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
        found = find_runs([str(argument) for argument in arguments])
        assert {run.workdir.resolve() for run in found} == {a, b}
        assert len(found) == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere"], "there is no nowhere"),
        (["."], "no runs in .: give the --workdir of a run"),
        (["a.csv", "b.csv", "c.csv"], "two at a time"),
        (["a.csv", "run"], "holds no predictions"),
        (["a.csv", "b.csv", "--out=x"], "no --out"),
    ],
)
def test_mistakes(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("")
    assert command.main(arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err


def test_configurations_of_other_programs_and_versions(tmp_path, capsys):
    path = add(tmp_path / "a") / "config.json"
    config, text = read_run(path.parent).config, path.read_text()
    description = json.loads(text)
    del description["config"]["data"]["label_noise"]
    del description["config"]["optimizer"]["schedule"]
    path.write_text(json.dumps(description))
    assert read_run(path.parent).config == config
    description = json.loads(text)
    description["config"]["data"]["label_quality"] = 1.0
    for content, message in (
        ('{"model_type": "vit"}', "it has no config.seed"),
        (json.dumps(description), "know the field data.label_quality"),
    ):
        path.write_text(content)
        assert command.main([str(tmp_path)]) == 1
        err = capsys.readouterr().err
        assert message in err and "leave this folder out" in err


def test_each_number_is_of_its_epoch(tmp_path):
    tested, held_out = (
        [saved.line(kind, epoch, x) for epoch, x in enumerate(values, start=1)]
        for kind, values in (
            ("test", (0.4, 0.7, 0.6, 0.5)),
            ("held_out", (0.3, 0.8, 0.8, 0.4)),
        )
    )
    last, best = {"last epoch": tested[3]}, {runs.BEST_ON_TEST: tested[1]}
    # Chosen on held-out images, the last of equals; the number is the test's.
    chosen = {"best epoch on held-out": tested[2]}
    assert runs.read_scores(tmp_path / "nowhere") == {}
    for lines, expected in (
        (tested + held_out, last | chosen | best),
        (tested, last | best),
        (held_out + [{"kind": "train", "step": 1, "loss": 2.0}], {}),
    ):
        text = "\n".join(map(json.dumps, lines)) + '\n{"kind": "te'  # half a line
        (tmp_path / runs.LOG_FILE).write_text(text)
        assert runs.read_log(tmp_path) == lines
        assert runs.read_scores(tmp_path) == expected
