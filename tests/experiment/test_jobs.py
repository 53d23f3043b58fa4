"""The runs of a table: which there are, and what each is configured with."""

import pathlib
import re

import manuals
import pytest

from qcs_jax.evaluate import published
from qcs_jax.experiment import __main__ as command
from qcs_jax.experiment import tablefile
from qcs_jax.experiment.jobs import make_plan
from qcs_jax.system.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
DEMO = str(ROOT / "configs" / "demo.py")
RAF = str(ROOT / "configs" / "raf.py")


def plan(config=DEMO, table="networks", seeds=(0,), overrides=(), workdir="none"):
    rows = tablefile.read_table(table).rows
    return make_plan(config, rows, seeds, overrides, pathlib.Path(workdir))


def column(jobs, *fields):
    return [tuple(job.config[field] for field in fields) for job in jobs]


def test_each_network_gets_its_own_recipe_in_the_other_variants(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jobs = plan(seeds=(3, 5), overrides=["--config.optimizer.rho=0.1"])
    networks = ("baseline", "dcs", "qcs")
    assert column(jobs, "seed", "model.name", "optimizer.rho") == [
        (seed, name, 0.1) for seed in (3, 5) for name in networks
    ]
    assert jobs[4].workdir == pathlib.Path("none/dcs/seed5")
    for suffix in ("", ":qcs", ":dcs"):
        rates = column(plan(RAF + suffix), "optimizer.learning_rate")
        assert rates == [(9e-6,), (9e-6,), (4e-6,)]
    for suffix in (":qcs,tiny", ":tiny"):
        assert column(plan(RAF + suffix), "model.size") == [("tiny",)] * 3
    # By its name, it is the same recipe.
    named = plan("raf:qcs,tiny")
    assert [job.config for job in named] == [x.config for x in plan(RAF + ":qcs,tiny")]
    words = [job.arguments[0] for job in named]
    assert words == [f"--config=raf:{name},tiny" for name in networks]
    jobs = plan(RAF + ":qcs,finetune", table="2")
    assert column(jobs, "optimizer.learning_rate") == [(3e-6,)] * 3
    with pytest.raises(UserError, match="fine-tunes qcs alone"):
        plan(RAF + ":qcs,finetune")


FIELDS = ("name", "interaction", "connection", "information")
OF_THE_PAPER = {
    "networks": [
        (("baseline", "csa", "vit", "sd"), "none", 92.05),
        (("dcs", "csa", "vit", "sd"), "none", 92.57),
        (("qcs", "csa", "vit", "sd"), "none", 92.50),
    ],
    "1": [
        (("baseline", "csa", "vit", "sd"), "none", 92.05),
        (("dcs", "csa", "none", "sd"), "none", 91.98),
        (("dcs", "sdpa", "gap", "sd"), "none", 91.95),
        (("dcs", "csa", "gap", "sd"), "none", 92.14),
        (("dcs", "csa", "bilinear", "sd"), "none", 92.24),
        (("dcs", "csa", "vit", "sd"), "none", 92.57),
        (("dcs", "csa", "vit", "sd"), "kl", 92.21),
    ],
    "2": [
        (("qcs", "csa", "vit", "s"), "none", 92.18),
        (("qcs", "csa", "vit", "d"), "none", 92.11),
        (("qcs", "csa", "vit", "sd"), "none", 92.47),
    ],
}


@pytest.mark.parametrize("table", OF_THE_PAPER)
def test_the_rows_and_numbers_of_the_papers_tables(table):
    jobs, paper = plan(RAF, table), tablefile.read_table(table).paper
    networks = column(jobs, *(f"model.{field}" for field in FIELDS))
    losses = [job.config["loss.distillation"] for job in jobs]
    numbers = [published.find(job.config, paper).percent["raf_db"] for job in jobs]
    assert [*zip(networks, losses, numbers, strict=True)] == OF_THE_PAPER[table]


@pytest.mark.parametrize(
    "words",
    [
        words
        for manual in ("qcs_jax/experiment/README.md", "configs/README.md")
        for words in manuals.commands(ROOT / manual, "qcs-jax experiment")
    ],
    ids=" ".join,
)
def test_commands_of_the_manual(words, tmp_path, monkeypatch, capsys):
    """As far as they go where nothing is prepared."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    manual = (ROOT / "qcs_jax/experiment/README.md").read_text()
    mine = re.search(r"```toml\n(.*?)```", manual, re.DOTALL)[1]
    (tmp_path / "sam.toml").write_text(mine)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert command.main(words) == 1
    assert re.match(r"error: data set '\w+.*' is not prep", capsys.readouterr().err)
