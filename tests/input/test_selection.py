"""Parts of a split, wrong labels, other classes, several splits as one."""

import dataclasses

import memory_source
import numpy as np
import pytest

from qcs_jax.images.decode import decode
from qcs_jax.input import selection
from qcs_jax.system.errors import UserError

LABELS = np.random.default_rng(0).choice(4, 400, p=(0.6, 0.25, 0.1, 0.05))
SOURCE = memory_source.create(LABELS)


def seen(source):
    """Which example of the whole split each image is."""
    images = [decode(data, 4) for data in source.encoded(range(len(source)))]
    return memory_source.examples_in(np.stack(images)[None])[0]


def test_a_fraction_keeps_the_shares_of_the_classes():
    half = selection.fraction_of(SOURCE, 0.5, seed=1)
    np.testing.assert_array_equal(half.labels, LABELS[seen(half)])
    expected = np.round(np.bincount(LABELS) / 2)
    np.testing.assert_array_equal(np.bincount(half.labels), expected)
    assert len(set(seen(half))) == len(half)
    # A smaller fraction is a part of a larger one.
    few, more, complete = (
        set(seen(selection.fraction_of(SOURCE, f, seed=1))) for f in (1e-6, 0.1, 1)
    )
    assert few < more < complete and (len(few), len(complete)) == (4, 400)
    assert more != set(seen(selection.fraction_of(SOURCE, 0.1, seed=2)))


def test_noise_is_exact_uniform_over_wrong_classes_and_nested():
    for fraction in (0, 0.3, 1):
        noisy = selection.with_label_noise(SOURCE, fraction, seed=0).labels
        assert (noisy != LABELS).sum() == round(fraction * 400)
        assert noisy.min() >= 0 and noisy.max() < 4 and noisy.dtype == np.int32
    assert (SOURCE.labels == LABELS).all(), "the split itself is untouched"
    labels = np.zeros(30_000, np.int32)
    source = dataclasses.replace(SOURCE, labels=labels)
    noisy = selection.with_label_noise(source, 0.3, seed=5).labels
    counts = np.bincount(noisy, minlength=4)[1:]
    chi_square = ((counts - 3000) ** 2 / 3000).sum()
    assert chi_square < 13.8  # 2 degrees of freedom: p = 0.001
    fewer = selection.with_label_noise(source, 0.1, seed=5).labels
    flipped = fewer != 0
    np.testing.assert_array_equal(noisy[flipped], fewer[flipped])


def test_a_list_selects_by_name(tmp_path):
    path = tmp_path / "occlusion.txt"
    path.write_text("train/9.png\n\n  train/2.png  \n")
    chosen = selection.listed_in(SOURCE, str(path))
    np.testing.assert_array_equal(seen(chosen), [2, 9])
    for text in ("", "train/2.png\ntest/2.png\n"):
        path.write_text(text)
        with pytest.raises(UserError, match="names are like 'train/0.png'"):
            selection.listed_in(SOURCE, str(path))
    with pytest.raises(UserError, match="cannot be read"):
        selection.listed_in(SOURCE, str(tmp_path / "nowhere.txt"))


NAMES = ("angry", "class 3", "class 1")


@pytest.mark.parametrize(
    "mapping, labels",
    [("by_name", {1: 2, 3: 1}), ("class 0=angry, class 2=angry", {0: 0, 2: 0})],
)
def test_classes_of_another_network(mapping, labels):
    mapped = selection.mapped_to(SOURCE, NAMES, mapping)
    assert mapped.class_names == NAMES
    for label, example in zip(mapped.labels, seen(mapped), strict=True):
        assert label == labels[LABELS[example]]
    assert len(mapped) == np.isin(LABELS, list(labels)).sum()


def test_mistakes_in_a_mapping():
    for mapping, message in (
        ("class 9=angry", "'class 9' in .* is none of class 0, class 1"),
        ("class 0=happy", "'happy' in .* is none of angry, class 3"),
        ("class 0", "'' in 'class 0' is none of angry"),
        ("class 0=angry,class 0=class 1", "mapped twice"),
    ):
        with pytest.raises(UserError, match=message):
            selection.mapped_to(SOURCE, NAMES, mapping)


def test_kept_and_joined_examples_keep_image_label_and_name():
    few, others = selection.keep(SOURCE, [5, 6]), selection.keep(SOURCE, [2, 0, 1])
    both = selection.joined(few, others, few)
    assert len(both) == 7
    np.testing.assert_array_equal(seen(both), [5, 6, 2, 0, 1, 5, 6])
    assert both.ids([6, 3, 0]) == ["train/6.png", "train/0.png", "train/5.png"]
    np.testing.assert_array_equal(both.labels, LABELS[seen(both)])


def test_held_out_images_are_a_part_of_every_class():
    for fraction in (0.01, 0.5):
        rest, out = selection.held_out(SOURCE, fraction, seed=3)
        assert sorted([*seen(rest), *seen(out)]) == list(range(400))
        expected = np.maximum(np.round(fraction * np.bincount(LABELS)), 1)
        np.testing.assert_array_equal(np.bincount(out.labels), expected)
        np.testing.assert_array_equal(out.labels, LABELS[seen(out)])
        np.testing.assert_array_equal(rest.labels, LABELS[seen(rest)])
    again, other = (selection.held_out(SOURCE, 0.5, seed)[1] for seed in (3, 1))
    assert set(seen(again)) == set(seen(out)) != set(seen(other))
    # The only image of a class is trained on.
    rest, out = selection.held_out(memory_source.create([0, 1, 1, 2]), 0.9, seed=0)
    assert sorted(rest.labels) == [0, 1, 2] and out.labels.tolist() == [1]
    with pytest.raises(UserError, match="no class .* two images"):
        selection.held_out(memory_source.create([0, 1, 2]), 0.5, seed=0)
