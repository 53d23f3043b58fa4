"""The table of data sets: order of their classes, and sizes of the originals."""

import pytest

from qcs_jax.config import flags
from qcs_jax.system import datasets, files
from qcs_jax.system.datasets import DATASETS

AFFECTNET = "neutral happiness sadness surprise fear disgust anger contempt".split()
# As published: classes in the order of the labels, images of each split.
ORIGINALS = {
    "raf_db": (
        "surprise fear disgust happiness sadness anger neutral".split(),
        {"train": 12_271, "test": 3_068},
    ),
    "fer2013": (
        "anger disgust fear happiness sadness surprise neutral".split(),
        {"train": 28_709, "validation": 3_589, "test": 3_589},
    ),
    "ferplus": (
        "neutral happiness surprise sadness anger disgust fear contempt".split(),
        {"train": 25_060, "validation": 3_199, "test": 3_153},
    ),
    "affectnet/7": (AFFECTNET[:7], {"train": 283_901, "test": 3_500}),
    "affectnet/8": (AFFECTNET, {"train": 287_651, "test": 4_000}),
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_classes_and_counts_are_those_of_the_original(name):
    class_names, totals = ORIGINALS[name]
    data_set = DATASETS[name]
    assert data_set.class_names == tuple(class_names)
    assert {split: sum(n) for split, n in data_set.published.items()} == totals
    assert {len(n) for n in data_set.published.values()} == {len(class_names)}
    manual = (files.packaged("data") / "README.md").read_text("utf-8")
    images = " + ".join(f"{n:,}" for n in totals.values())
    [row] = [line for line in manual.splitlines() if line.startswith(f"| [`{name}`]")]
    assert f"{images} faces, {len(class_names)} expressions" in row


@pytest.mark.parametrize("name", DATASETS)
def test_the_recipe_trains_on_it(name):
    trained_on = flags.read_config(DATASETS[name].recipe, []).data.name
    assert trained_on.partition("/")[0] == name.partition("/")[0]
    assert datasets.find(trained_on) is DATASETS[name]


def test_other_configurations_are_like_the_data_set():
    assert datasets.find("synthetic_faces/biased").drawn
    assert datasets.find("affectnet").published
    assert datasets.find("image_folder/cats") is DATASETS["image_folder"]
    assert datasets.find("toy") is None
