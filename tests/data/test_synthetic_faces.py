"""Properties of the drawn faces: reproducible, balanced, biased only where they say."""

import dataclasses
import io
import itertools

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from qcs_jax.data.synthetic_faces import expression, nuisance, renderer
from qcs_jax.data.synthetic_faces.synthetic_faces_dataset_builder import Builder

from qcs_jax.input import prepare

CLASSES = len(expression.CLASS_NAMES)
CONFIGS = "balanced", "biased", "biased_0"


def streams(seed):
    return np.random.default_rng(seed)


def biased_cues(count, rho):
    """(label, background, hair colour) of many faces, without drawing them."""
    rows, plain = [], nuisance.sample(streams(0))
    for index in range(count):
        label = index % CLASSES
        n = nuisance.follow_label(plain, streams([1, index]), label, rho)
        rows.append((label, n.background, n.hair_color))
    return np.array(rows).T


def test_a_face_depends_on_seed_split_and_index_only():
    alone = renderer.draw_sample(3, "train", 5)
    for index in (9, 2, 5):  # another order, others in between
        again = renderer.draw_sample(3, "train", index)
    assert again.image.tobytes() == alone.image.tobytes()
    assert again.nuisances == alone.nuisances
    for other in [(4, "train", 5), (3, "test", 5), (3, "train", 12)]:
        drawn = renderer.draw_sample(*other)
        assert drawn.image.tobytes() != alone.image.tobytes()
        assert drawn.nuisances != alone.nuisances


@pytest.mark.parametrize("label", range(1, CLASSES))
def test_every_expression_changes_the_face_more_when_stronger(label):
    def draw(which, intensity):
        au, _ = expression.sample(streams(0), which, intensity)
        image = renderer.render(au, nuisance.Nuisances(), streams(0))
        return np.asarray(image, dtype=np.float64)

    rest = draw(0, 0.0)
    weak, strong = (np.abs(draw(label, s) - rest).mean() for s in (0.3, 1.0))
    assert 0.1 < weak < strong
    assert 0.5 <= expression.sample(streams(0), label)[1] <= 1.0
    assert expression.sample(streams(0), 0)[1] == 0


@pytest.mark.parametrize(
    "field", [f.name for f in dataclasses.fields(nuisance.Nuisances)]
)
def test_every_nuisance_is_visible(field):
    """In some face, where it is that of another."""
    au = expression.PROTOTYPES["sadness"][0]
    drawn = [nuisance.sample(streams(seed)) for seed in range(40)]
    assert any(
        renderer.render(au, n, streams(0)).tobytes()
        != renderer.render(au, changed, streams(0)).tobytes()
        for n, other in itertools.pairwise(drawn)
        if (changed := dataclasses.replace(n, **{field: getattr(other, field)})) != n
    )


def test_nuisances_are_drawn_without_the_label():
    """Cramer's V of label and nuisance stays at the level of chance."""
    count = 2100
    labels = np.arange(count) % CLASSES
    drawn = [
        dataclasses.asdict(nuisance.sample(streams([0, 0, index, 1])))
        for index in range(count)
    ]
    for name in ("skin", "hair_color", "hair_style", "glasses", "background"):
        values = np.array([d[name] for d in drawn])
        table = np.zeros((CLASSES, values.max() + 1))
        np.add.at(table, (labels, values), 1)
        expected = table.sum(1, keepdims=True) * table.sum(0) / count
        chi2 = ((table - expected) ** 2 / expected).sum()
        freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
        assert chi2 < freedom + 4 * np.sqrt(2 * freedom), name


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_bias_makes_both_colours_follow_the_label(rho):
    label, background, hair = biased_cues(4200, rho)
    assert (background == hair).all()
    assert (background == label).mean() == pytest.approx(rho, abs=0.02)
    strays = (background - label)[background != label] % CLASSES
    share = np.bincount(strays, minlength=CLASSES)[1:] / len(strays)
    np.testing.assert_allclose(share, 1 / (CLASSES - 1), atol=0.06)


def test_bias_changes_nothing_but_the_two_colours():
    plain = renderer.draw_sample(0, "train", 8)
    biased = renderer.draw_sample(0, "train", 8, rho=0.9)
    restored = dataclasses.replace(
        biased.nuisances,
        background=plain.nuisances.background,
        hair_color=plain.nuisances.hair_color,
    )
    assert restored == plain.nuisances
    assert (biased.label, biased.intensity) == (plain.label, plain.intensity)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Some configs, 42 + 14 faces each, written and read back without TensorFlow."""
    root = tmp_path_factory.mktemp("faces")
    records = {}
    for config in Builder.BUILDER_CONFIGS:
        if config.name in CONFIGS:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(config, "sizes", {"train": 42, "test": 14})
                name = f"synthetic_faces/{config.name}"
                assert prepare.main([name, f"--data_dir={root}"]) == 0
            (version,) = (root / name).glob("1.*")
            read = tfds.builder_from_directory(version)
            skip = {"image": tfds.decode.SkipDecoding()}
            for split in ("train", "test"):
                records[config.name, split] = read.as_data_source(split, decoders=skip)
    return records


def test_round_trip_through_tfds(prepared):
    records = prepared["balanced", "train"]
    assert np.bincount([r["label"] for r in records]).tolist() == [6] * CLASSES
    for index in range(5):
        record = records[index]
        split, index = record["id"].decode().split("/")
        face = renderer.draw_sample(0, split, int(index))
        image = Image.open(io.BytesIO(record["image"]))
        assert image.tobytes() == face.image.tobytes()
        assert record["label"] == face.label
        assert record["background"] == face.nuisances.background
        assert record["yaw"] == pytest.approx(face.nuisances.yaw, rel=1e-5)


def test_only_the_biased_training_split_is_biased(prepared):
    def agreement(config, split):
        return np.mean([r["background"] == r["label"] for r in prepared[config, split]])

    assert agreement("biased", "train") > 0.75
    assert agreement("biased_0", "train") == 0
    assert agreement("balanced", "train") < 0.4 and agreement("balanced", "test") < 0.4
    # All are tested on the same images.
    images, *others = (
        sorted(record["image"] for record in prepared[config, "test"])
        for config in CONFIGS
    )
    assert others == [images, images]
