"""Dividing a folder: who is recognised in file names, and who ends up where."""

import random

import numpy as np
import pytest
from qcs_jax.data.image_folder import dividing

CLASSES = 7


def jaffe():
    """Ten women, three images of each of seven faces; two letters in front."""
    return [
        f"{label}/{person}.{'ADFHNSX'[label]}{k}.jpg"
        for person in "KA KL KM KR MK NA NM TM UY YM".split()
        for label in range(CLASSES)
        for k in range(3)
    ]


def cohn_kanade():
    """Three images of a sequence, few sequences of a person, classes of all sizes."""
    rng = random.Random(0)
    return [
        f"{label}/S{person:03}_00{label}_{frame:08}.png"
        for label, sequences in enumerate((45, 18, 59, 25, 69, 28, 83))
        for person in rng.sample(range(118), sequences)
        for frame in range(3)
    ]


def numbered(pattern, images=30, anew=False, classes=CLASSES):
    """Names made of a number, which goes on or starts anew in each class."""
    return [
        f"{label}/" + pattern.format(n=n + (0 if anew else images * label), label=label)
        for label in range(classes)
        for n in range(images)
    ]


def labels(names):
    return np.array([int(name.partition("/")[0]) for name in names])


def persons(names):
    return dividing.persons([name.split("/")[1] for name in names], labels(names))


def divide(names, fraction=0.2):
    return dividing.divide(names, labels(names), fraction)


def fractions(division, names):
    """Part of each class that is for testing."""
    of = labels(names)
    return np.array([division.test[of == label].mean() for label in np.unique(of)])


@pytest.mark.parametrize(("names", "count"), [(jaffe(), 10), (cohn_kanade(), 117)])
def test_persons_are_read_from_names_and_stay_in_one_split(names, count):
    people = persons(names)
    assert len(set(people)) == count
    for name, person in zip(names, people, strict=True):
        assert name.split("/")[1].startswith(person)
    division = divide(names)
    tested = set(np.array(people)[division.test])
    trained = set(np.array(people)[~division.test])
    assert tested and trained and not tested & trained and not division.divided


@pytest.mark.parametrize(
    "names",
    [
        numbered("{n:04}.jpg"),
        numbered("{n}_class{label}.jpg", anew=True),
        numbered("img_{n:03}.jpg"),
        numbered("face-{n}_crop.png", anew=True),
        [f"{n % 2}/{x}_{n}.jpg" for n, x in enumerate(["IMG", "DSC", "scan"] * 20)],
        numbered("class{label}_{n:03}.jpg", classes=12),
        [f"{k}/{p}_{k}{n}.jpg" for k in "01" for p in "abcde" for n in "12"],
        [],
    ],
    ids=lambda names: names[0] if names else "none",
)
def test_other_names_show_no_persons(names):
    assert persons(names) is None


@pytest.mark.parametrize("fraction", [0.2, 0.7])
def test_persons_are_chosen_so_that_classes_keep_their_parts(fraction):
    names = cohn_kanade()
    parts = fractions(divide(names, fraction), names)
    np.testing.assert_allclose(parts, fraction, atol=0.04)


@pytest.mark.parametrize(
    ("images", "fraction", "tested"),
    [(10, 0.2, 2), (10, 0.26, 3), (2, 0.01, 1), (2, 0.99, 1), (5, 0.99, 4)],
)
def test_images_are_divided_up_to_rounding(images, fraction, tested):
    division = divide(numbered("{n}.jpg", images), fraction)
    assert division.test.reshape(CLASSES, images).sum(1).tolist() == [tested] * CLASSES
    counts = f"{tested * CLASSES} of {images * CLASSES} images are for testing"
    assert f"no persons: {counts}" in str(division)


@pytest.mark.parametrize("names", [cohn_kanade(), numbered("{n}.jpg")])
def test_the_order_of_the_images_changes_nothing(names):
    order = random.Random(1).sample(range(len(names)), len(names))
    shuffled = divide([names[i] for i in order])
    np.testing.assert_array_equal(shuffled.test, divide(names).test[order])


def test_a_class_of_one_person_is_in_both_splits():
    names = [*jaffe(), "7/KA.Y1.jpg", "7/KA.Y2.jpg"]
    division = divide(names)
    assert division.divided == ["KA"]
    assert str(division).endswith("too few persons needs KA in both splits")
    *parts, of_pair = fractions(division, names)
    assert of_pair == 0.5
    np.testing.assert_allclose(parts, 0.2, atol=0.11)
    # A class of two persons divides none, although a half is far from a fifth.
    names = [*jaffe(), *(f"7/{x}.Y{k}.jpg" for x in ("KA", "TM") for k in range(5))]
    division = divide(names)
    assert fractions(division, names)[-1] == 0.5 and not division.divided
