"""A world in which runs of an experiment take no time."""

import json
import pathlib
import sys

import pytest

from qcs_jax.experiment import __main__ as command
from qcs_jax.experiment import tablefile
from qcs_jax.experiment.jobs import make_plan

ROOT = pathlib.Path(__file__).parents[2]
DEMO = str(ROOT / "configs" / "demo.py")
FAKE_MAIN = str(ROOT / "tests" / "support" / "fake_main.py")


class World:
    """A folder with experiments whose runs take no time, and with the demo's data."""

    def __init__(self, folder, capfd):
        self.folder = folder
        self.prepare("synthetic_faces/balanced")
        self.workdir = folder / "experiment"
        self._capfd = capfd
        self.behave({})

    def prepare(self, dataset):
        """What tells that a data set is prepared."""
        version = self.folder / "datasets" / dataset / "1.0.0"
        version.mkdir(parents=True)
        (version / "dataset_info.json").touch()

    def behave(self, behaviour):
        (self.folder / "behaviour.json").write_text(json.dumps(behaviour))

    def experiment(self, *more, table="networks", seeds="0,1"):
        """Runs the command; returns its status, what it printed, and the calls."""
        calls = self.folder / "calls.txt"
        calls.write_text("")
        more = [*more, "--config.train.epochs=3"]
        self.write_configs(table, seeds, more)
        status = command.main(
            [f"--config={DEMO}", f"--table={table}", f"--seeds={seeds}"]
            + [f"--workdir={self.workdir}", *more],
            program=[sys.executable, "-S", FAKE_MAIN, str(self.folder)],
        )
        return status, self._capfd.readouterr(), calls.read_text().splitlines()

    def write_configs(self, table, seeds, overrides):
        """For the child, which has no time to read configuration files."""
        elsewhere = self.folder / "elsewhere"  # where nothing is checked
        rows, numbers = tablefile.read_table(table).rows, map(int, seeds.split(","))
        configs = {
            str(self.workdir / job.workdir.relative_to(elsewhere)): job.config
            for job in make_plan(DEMO, rows, numbers, overrides, elsewhere)
        }
        (self.folder / "configs.json").write_text(json.dumps(configs))


@pytest.fixture
def world(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "datasets"))
    return World(tmp_path, capfd)
