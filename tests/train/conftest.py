"""The toy world, and two runs in it for each module."""

import shutil

import pytest
import toy


@pytest.fixture(autouse=True)
def toy_world(monkeypatch):
    toy.install(monkeypatch)


@pytest.fixture(scope="session")
def only_trained(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        toy.install(patch)
        folder = tmp_path_factory.mktemp("runs")
        toy.train(folder)
    return folder


@pytest.fixture(scope="module")
def finished(only_trained, tmp_path_factory):
    """Folder of the workdirs "plain" and "held_out", which nobody has evaluated yet."""
    return shutil.copytree(only_trained, tmp_path_factory.mktemp("copy") / "runs")
