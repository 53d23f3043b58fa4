"""What the paper says about a configuration."""

import json
import pathlib
import runpy

import pytest
import saved

from qcs_jax.evaluate import published
from qcs_jax.evaluate.comparison import over_seeds
from qcs_jax.evaluate.runs import Variant, read_run

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
    runs = []
    for seed, start in enumerate((run_of(), run_of(), run_of("ferplus"))):
        config = saved.config(data__name="raf_db", init_from="runs/x", seed=seed)
        folder, test = tmp_path / str(seed), (0.5, 0.7, 0.6)
        runs.append(read_run(saved.untrained(folder, config, test, started_from=start)))
    alike, others = Variant("a", tuple(runs[:2])), Variant("a", tuple(runs))
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
