"""The toy world, and two runs in it for each module."""

import pytest
import toy
import toy_runs


@pytest.fixture(autouse=True)
def toy_world(monkeypatch):
    toy.install(monkeypatch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder of the workdirs "plain" and "held_out"."""
    with pytest.MonkeyPatch.context() as patch:
        toy.install(patch)
        folder = tmp_path_factory.mktemp("runs")
        toy_runs.train(folder)
    return folder
