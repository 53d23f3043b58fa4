"""Dividing a folder: who is recognised in file names, and who ends up where."""

import itertools
import random

import numpy as np
import pytest
from qcs_jax.data.image_folder.dividing import divide, persons

CLASSES = 7
SETS = [0] * 10 + [1] * 10


def jaffe():
    """Ten women, three images of each of seven faces; two letters in front."""
    names, labels = [], []
    for person in "KA KL KM KR MK NA NM TM UY YM".split():
        for label in range(CLASSES):
            for k in range(3):
                names.append(f"{label}/{person}.{'ADFHNSX'[label]}{k}.{len(names)}.jpg")
                labels.append(label)
    return names, labels


def cohn_kanade():
    """Three images of a sequence, few sequences of a person, classes of all sizes."""
    rng, names, labels = random.Random(0), [], []
    for label, sequences in enumerate((45, 18, 59, 25, 69, 28, 83)):
        for person in rng.sample(range(118), sequences):
            for frame in range(3):
                names.append(f"{label}/S{person:03}_00{label}_{frame:08}.png")
                labels.append(label)
    return names, labels


def numbered(pattern, images=30, anew=False, classes=CLASSES):
    """Names made of a number, which goes on or starts anew in each class."""
    names, labels = [], []
    for label in range(classes):
        for n in range(images):
            number = n if anew else len(names)
            names.append(f"{label}/" + pattern.format(n=number, label=label))
            labels.append(label)
    return names, labels


def cameras():
    """Nine kinds of names in all classes, most of them of one kind."""
    kinds = ["IMG"] * 30 + "DSC PXL photo image scan web screenshot download".split()
    names = [f"{k}/{x}_{n}.jpg" for n, x in enumerate(kinds * 3) for k in range(2)]
    return names, [k for _ in kinds * 3 for k in range(2)]


def read(names, labels):
    return persons([name.split("/")[1] for name in names], labels)


@pytest.mark.parametrize(("made", "count"), [(jaffe(), 10), (cohn_kanade(), 117)])
def test_persons_are_read_from_names_and_stay_in_one_split(made, count):
    names, labels = made
    people = read(names, labels)
    assert len(set(people)) == count
    for name, person in zip(names, people, strict=True):
        assert name.split("/")[1].startswith(person)
    division = divide(names, labels, 0.2)
    tested = set(np.array(people)[division.test])
    trained = set(np.array(people)[~division.test])
    assert tested and trained and not tested & trained and not division.divided


@pytest.mark.parametrize(
    "made",
    [
        numbered("{n:04}.jpg"),
        numbered("{n}_class{label}.jpg", anew=True),
        numbered("img_{n:03}.jpg"),
        numbered("face-{n}_crop.png", anew=True),
        cameras(),
        numbered("class{label}_{n:03}.jpg", classes=12),
        ([f"{k}/{p}_{k}{n}.jpg" for k in "01" for p in "abcde" for n in "12"], SETS),
        ([], []),
    ],
    ids=lambda made: made[0][0] if made[0] else "none",
)
def test_other_names_show_no_persons(made):
    assert read(*made) is None


def fractions(test, labels):
    labels = np.asarray(labels)
    return np.array([test[labels == label].mean() for label in np.unique(labels)])


@pytest.mark.parametrize("fraction", [0.2, 0.7])
def test_persons_are_chosen_so_that_classes_keep_their_parts(fraction):
    names, labels = cohn_kanade()
    division = divide(names, labels, fraction)
    np.testing.assert_allclose(fractions(division.test, labels), fraction, atol=0.04)


@pytest.mark.parametrize(
    ("images", "fraction", "tested"),
    [(10, 0.2, 2), (10, 0.26, 3), (2, 0.01, 1), (2, 0.99, 1), (5, 0.99, 4)],
)
def test_images_are_divided_up_to_rounding(images, fraction, tested):
    names, labels = numbered("{n}.jpg", images)
    division = divide(names, labels, fraction)
    counts = [division.test[k * images :][:images].sum() for k in range(CLASSES)]
    assert counts == [tested] * CLASSES
    said = (
        f"no persons: {tested * CLASSES} of {images * CLASSES} images are for testing"
    )
    assert said in str(division)


@pytest.mark.parametrize("made", [cohn_kanade(), numbered("{n}.jpg")])
def test_the_order_of_the_images_changes_nothing(made):
    names, labels = made
    order = random.Random(1).sample(range(len(names)), len(names))
    shuffled = [names[i] for i in order], [labels[i] for i in order]
    expected = divide(names, labels, 0.2).test
    np.testing.assert_array_equal(divide(*shuffled, 0.2).test, expected[order])


def test_a_class_of_one_person_is_in_both_splits():
    names, labels = jaffe()
    names += ["7/KA.Y1.jpg", "7/KA.Y2.jpg"]
    division = divide(names, [*labels, 7, 7], 0.2)
    assert division.test[-2:].sum() == 1
    assert division.divided == ["KA"]
    assert str(division).endswith("too few persons needs KA in both splits")
    np.testing.assert_allclose(fractions(division.test[:-2], labels), 0.2, atol=0.11)
    # A class of two persons divides none, although a half is far from a fifth.
    for pair in itertools.combinations(("KA", "KL", "NA", "TM", "YM"), 2):
        names, labels = jaffe()
        names += [f"7/{person}.Y{k}.jpg" for person in pair for k in range(5)]
        division = divide(names, labels + [7] * 10, 0.2)
        assert division.test[-10:].sum() == 5 and not division.divided
