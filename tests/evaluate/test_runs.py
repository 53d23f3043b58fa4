"""Runs on disk: their logs, which differ in the seed alone, what the paper says."""

import json
import pathlib
import runpy

import pytest
import saved

from qcs_jax.evaluate import compare_command as command
from qcs_jax.evaluate import published, runs
from qcs_jax.evaluate.comparison import over_seeds
from qcs_jax.evaluate.runs import Variant, find_runs, read_run, variants_of


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


ROOT = pathlib.Path(__file__).parents[2]
BACKBONE = {"network": "backbone"}


def config_of(dataset="raf_db", **fields):
    return saved.flat(saved.config(data__name=dataset, **fields))


@pytest.mark.parametrize(
    "fields, table, expected",
    [
        ({}, None, (3, 92.50)),
        ({}, 2, (2, 92.47)),
        ({}, 1, None),
        (dict(model__name="dcs", dataset="ferplus"), None, (3, 91.41)),
        (dict(model__name="dcs", dataset="ferplus"), 1, (1, 91.22)),
        (dict(model__name="baseline"), None, (1, 92.05)),
        (dict(model__information="d", dataset="ferplus"), None, (2, 90.96)),
        (dict(dataset="affectnet/7", model__name="dcs"), None, (3, 67.66)),
        (dict(model__size="tiny"), None, None),
        (dict(data__val_fraction=0.1), None, (3, 92.50)),
        (dict(data__val_fraction=0.5), None, None),
        (dict(optimizer__rho=0.0), None, None),
        (dict(init_from="ir50.pth"), None, None),  # of an earlier version
        (dict(dataset="toy"), None, None),
    ],
    ids=str,
)
def test_what_the_paper_says(fields, table, expected):
    config = config_of(**fields)
    found = published.find(config, table)
    assert (found and (found.table, found.percent[config["data.name"]])) == expected


def run_of(dataset="affectnet/8", started_from=BACKBONE, **fields):
    """What a run records where it starts from one of this kind."""
    config = saved.config(**{"data__name": dataset, "init_from": "x"} | fields)
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
        (run_of("affectnet/7"), None),
        (run_of(started_from=run_of("ferplus")), None),
    ],
)
def test_what_a_run_starts_from_tells_the_papers_number(started_from, expected):
    """Neither its own name nor that of a path does."""
    config = config_of(name="raf_qcs_finetune", init_from="x.pth")
    found = published.find(config, None, started_from)
    assert (found and found.percent["raf_db"]) == expected


def test_one_number_for_runs_that_start_alike(tmp_path):
    """Under one path, they may have started from different weights."""
    read = []
    for seed, start in enumerate((run_of(), run_of(), run_of("ferplus"))):
        config = saved.config(data__name="raf_db", init_from="runs/x", seed=seed)
        folder, test = tmp_path / str(seed), (0.5, 0.7, 0.6)
        read.append(read_run(saved.untrained(folder, config, test, started_from=start)))
    alike, others = Variant("a", tuple(read[:2])), Variant("a", tuple(read))
    assert over_seeds([alike])["paper"].dropna().tolist() == [93.02]
    assert over_seeds([others])["paper"].isna().all()


def test_the_recipes_are_what_the_paper_measured():
    names = {"raf_db": "raf", "affectnet/7": "affectnet7", "affectnet/8": "affectnet8"}
    for dataset in published.RESULTS[0].percent:
        path = ROOT / f"configs/{names.get(dataset, dataset)}.py"
        get_config = runpy.run_path(str(path))["get_config"]
        for network, index in (("dcs", 0), ("qcs", 1)):
            found = published.find(saved.flat(get_config(network)))
            assert found is published.RESULTS[index]
            assert f"{found.percent[dataset]:.2f} ({network})" in path.read_text()
            assert not published.find(saved.flat(get_config(f"{network},tiny")))
