"""A service of a small network, in this process, and what is sent to it."""

import pytest
from PIL import Image
from service import PORTRAIT, Service
from starlette.testclient import TestClient

import qcs_jax
from qcs_jax.predict.detector import BlazeFace
from qcs_jax.serve import batches
from qcs_jax.serve.desk import PerThread


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """Files of one, two and four people, and of nobody."""
    folder, portrait = tmp_path_factory.mktemp("photographs"), Image.open(PORTRAIT)
    portrait = portrait.convert("RGB").crop((60, 40, 460, 440)).resize((200, 200))
    for count in (0, 1, 2, 4):
        image = Image.new("RGB", (60 + 260 * max(count, 1), 300), (90, 110, 80))
        for i in range(count):
            image.paste(portrait, (40 + 260 * i, 40))
        image.save(folder / f"{count}.png")
    return folder


@pytest.fixture(scope="session")
def classifier():
    return qcs_jax.load(detector=PerThread(BlazeFace()))


@pytest.fixture(scope="session")
def compiled(classifier):
    """The programs of the network, and which sizes are alike."""
    network = batches.Batches(batches.runner(classifier), classifier.resize)
    network.close()
    return network.alike


@pytest.fixture
def serve(classifier, compiled, monkeypatch):
    """Makes services, each ended after the test."""
    made = []

    def create(classifier=classifier, **options):
        service = Service(classifier, compiled, monkeypatch, **options)
        made.append(service)
        return service

    yield create
    for service in made:
        service.desk.close()


@pytest.fixture
def client(serve):
    with TestClient(serve().app) as client:
        yield client
