"""A run and its classifier, and photographs, that most of these tests look at."""

import pathlib

import matplotlib
import pytest
import saved
import sklearn.datasets
from PIL import Image

import qcs_jax


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run of two steps, whose network has random weights."""
    return saved.run(tmp_path_factory.mktemp("predict") / "run", 1, 2)


@pytest.fixture(scope="session")
def classifier(run):
    return qcs_jax.load(run)


@pytest.fixture(scope="session")
def portrait_path():
    """Grace Hopper, by the U.S. Navy: 512 x 600 pixels."""
    return pathlib.Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"


@pytest.fixture(scope="session")
def portrait(portrait_path):
    return Image.open(portrait_path).convert("RGB")


@pytest.fixture(scope="session")
def flower():
    """A photograph without a face."""
    return Image.fromarray(sklearn.datasets.load_sample_image("flower.jpg"))


@pytest.fixture(scope="session")
def two(portrait, tmp_path_factory):
    """A photograph of two people: the left one is larger."""
    photograph = Image.new("RGB", (900, 640), (90, 110, 80))
    photograph.paste(portrait, (20, 20))
    photograph.paste(portrait.resize((256, 300)), (600, 300))
    path = tmp_path_factory.mktemp("photographs") / "two.png"
    photograph.save(path)
    return path
