"""The face detector on photographs that other packages bring along."""

import pathlib

import matplotlib
import numpy as np
import pytest
import sklearn.datasets
from PIL import Image

from qcs_jax.predict import align
from qcs_jax.predict.detector import BlazeFace, Detection, overlap

# Grace Hopper, by the U.S. Navy: 512 x 600 pixels. Drawn by hand: the box of the face
# from the brows to the chin, eyes, tip of the nose and mouth.
PORTRAIT = pathlib.Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"
BOX = np.array((165.0, 135.0, 370.0, 330.0))
LANDMARKS = np.array([(228.0, 191.0), (311.0, 187.0), (271.0, 235.0), (269.0, 275.0)])


@pytest.fixture(scope="module")
def find():
    return BlazeFace()


@pytest.fixture(scope="module")
def portrait():
    return Image.open(PORTRAIT).convert("RGB")


def check(face, box, landmarks, tolerance):
    """`tolerance` is a part of the distance between the eyes."""
    assert overlap(face.box, box) > 0.5
    eyes = np.hypot(*(landmarks[1] - landmarks[0]))
    errors = np.hypot(*(face.landmarks - landmarks).T) / eyes
    assert errors.max() < tolerance, errors


def test_the_face_of_a_portrait(find, portrait):
    [face] = find(portrait)
    check(face, BOX, LANDMARKS, 0.25)
    assert face.score > 0.8


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_no_face_where_there_is_none(find, name):
    assert find(Image.fromarray(sklearn.datasets.load_sample_image(name))) == []


@pytest.mark.parametrize("factor", [0.1, 0.3, 1.0, 3.0])
def test_any_size_of_the_photograph(find, portrait, factor):
    size = tuple(round(factor * side) for side in portrait.size)
    [face] = find(portrait.resize(size, Image.Resampling.LANCZOS))
    check(face, factor * BOX, factor * LANDMARKS, 0.3)


@pytest.mark.parametrize("side", [140, 220, 400])
@pytest.mark.parametrize("corner", [(30, 40), (2000, 1300)])
def test_a_small_face_in_a_large_photograph(find, portrait, side, corner):
    photograph = Image.new("RGB", (2400, 1700), (90, 110, 80))
    photograph.paste(portrait.resize((side, side)), corner)
    [face] = find(photograph)
    scale = np.array((side / 512, side / 600))
    check(
        face,
        np.tile(scale, 2) * BOX + np.tile(corner, 2),
        scale * LANDMARKS + corner,
        0.4,
    )


def test_several_faces_come_by_size(find, portrait):
    photograph = Image.new("RGB", (1500, 900), (90, 110, 80))
    places = {(20, 30): 300, (500, 200): 600, (1200, 600): 200}
    for corner, side in places.items():
        photograph.paste(portrait.resize((side, side)), corner)
    faces = find(photograph)
    assert len(faces) == 3
    for face, corner in zip(
        faces, sorted(places, key=lambda x: -places[x]), strict=True
    ):
        scale = np.tile((places[corner] / 512, places[corner] / 600), 2)
        assert overlap(face.box, scale * BOX + np.tile(corner, 2)) > 0.5


@pytest.mark.parametrize("degrees", [-25, 10, 45, 90, 180, 270, 315])
def test_a_turned_face_has_the_landmarks_of_the_upright_one(find, portrait, degrees):
    turned = portrait.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    [face] = find(turned)
    angle = np.deg2rad(degrees)
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    middle, new_middle = np.array(portrait.size) / 2, np.array(turned.size) / 2
    wanted = (LANDMARKS - middle) @ turn.T + new_middle
    errors = np.hypot(*(face.landmarks - wanted).T) / 83
    assert errors.max() < 0.3, errors
    # A face is about round: turned, its box is about as large.
    center = ((BOX[:2] + BOX[2:]) / 2 - middle) @ turn.T + new_middle
    half = (BOX[2:] - BOX[:2]) / 2
    assert overlap(face.box, np.concatenate([center - half, center + half])) > 0.5


def test_a_crop_of_the_face_alone_is_a_face(find, portrait):
    left, top, right, bottom = box = (150, 110, 385, 345)
    [face] = find(portrait.crop(box))
    check(face, BOX - np.tile((left, top), 2), LANDMARKS - (left, top), 0.3)


def test_an_aligned_face_is_the_same_wherever_it_was(find, portrait):
    """Shifted, scaled and turned photographs give nearly the same crop."""
    aligner = align.Aligner(find)
    wanted = np.asarray(aligner(portrait, 48), float)
    plain = np.abs(wanted - np.asarray(portrait.resize((48, 48)), float)).mean()
    for factor, degrees in ((0.5, 0), (1.5, 8), (1.0, -15), (0.8, 20)):
        size = tuple(round(factor * side) for side in portrait.size)
        moved = portrait.resize(size).rotate(degrees, Image.Resampling.BICUBIC)
        found = np.asarray(aligner(moved, 48), float)
        assert np.abs(found - wanted).mean() < 0.4 * plain


def test_the_template_of_aligned_faces_is_the_one_they_were_aligned_to(portrait):
    template = align.TEMPLATE * 0.8 + 0.1
    aligner = align.Aligner(template=template)
    turned = [portrait.rotate(degrees) for degrees in range(-11, 12, 2)]
    found = align.template_of(aligner(image, 96) for image in turned)
    np.testing.assert_allclose(found, template, atol=0.04)


def test_there_is_no_template_where_no_faces_are(portrait):
    grey = [Image.new("RGB", (48, 48), (g, g, g)) for g in range(20)]
    assert align.template_of(grey) is None
    assert align.template_of([portrait] * 9) is None  # too few to tell


@pytest.mark.parametrize("size, fits", [(0.6, False), (1.0, True), (1.2, True)])
def test_a_small_square_that_is_cut_already_is_a_crop(find, portrait, size, fits):
    aligner = align.Aligner(find)
    side = 104
    crop = aligner.cut(portrait, find(portrait)[0], side)
    around = round(side / size)  # the same face in a wider or narrower frame
    corner = (around - side) // 2
    image = Image.new("RGB", (around, around), (90, 110, 80))
    image.paste(crop, (corner, corner))
    found = find(image)
    assert len(found) == 1
    assert aligner.is_crop(image, found, 224) == fits
    assert not aligner.is_crop(image, found * 2, 224)
    # The same face in more pixels, or in another shape, was cut out by somebody.
    large = image.resize((225, 225))
    assert not aligner.is_crop(large, find(large), 224)
    assert not aligner.is_crop(image.crop((0, 0, around, around - 4)), found, 224)


def test_overlap():
    box = np.array((0.0, 0.0, 2.0, 2.0))
    assert overlap(box, box) == 1.0
    assert overlap(box, box + 1) == pytest.approx(1 / 7)
    assert overlap(box, box + 2) == overlap(box, box + 5) == 0.0
    assert Detection(box, LANDMARKS, 0.9).area == 4
