"""The face detectors, on photographs that other packages bring along."""

import pathlib

import numpy as np
import pytest
import sklearn.datasets
from PIL import Image

from qcs_jax.predict.detector import BlazeFace, overlap
from qcs_jax.predict.yunet import YuNet
from qcs_jax.system.errors import UserError

# Of the portrait, drawn by hand: the box of the face from the brows to the chin, eyes,
# tip of the nose and mouth.
BOX = np.array((165.0, 135.0, 370.0, 330.0))
LANDMARKS = np.array([(228.0, 191.0), (311.0, 187.0), (271.0, 235.0), (269.0, 275.0)])

BRIGHT_SPOT = pathlib.Path(__file__).parents[1] / "fixtures/bright_spot_detector.onnx"
# As make_bright_spot_detector.py has them.
POINTS = np.array([(-1.0, -1.0), (2.0, -0.5), (0.5, 0.75), (-0.75, 2.0), (1.5, 2.25)])
POINTS = np.concatenate([POINTS[:3], [POINTS[3:].mean(axis=0)]])


@pytest.fixture(scope="module")
def find():
    return BlazeFace()


def check(face, box, landmarks, tolerance):
    """`tolerance` is a part of the distance between the eyes."""
    assert overlap(face.box, box) > 0.5
    eyes = np.hypot(*(landmarks[1] - landmarks[0]))
    errors = np.hypot(*(face.landmarks - landmarks).T) / eyes
    assert errors.max() < tolerance, errors


@pytest.mark.parametrize("factor", [0.1, 0.3, 1.0, 3.0])
def test_any_size_of_the_photograph(find, portrait, factor):
    size = tuple(round(factor * side) for side in portrait.size)
    [face] = find(portrait.resize(size, Image.Resampling.LANCZOS))
    check(face, factor * BOX, factor * LANDMARKS, 0.25 if factor == 1 else 0.3)
    if factor == 1:
        assert face.score > 0.8
        corner = np.array((150, 110))  # a crop of the face alone is a face
        [face] = find(portrait.crop((*corner, 385, 345)))
        check(face, BOX - np.tile(corner, 2), LANDMARKS - corner, 0.3)


def test_faces_of_a_large_photograph_come_by_size(find, portrait):
    assert find(Image.fromarray(sklearn.datasets.load_sample_image("china.jpg"))) == []
    photograph = Image.new("RGB", (2400, 1700), (90, 110, 80))
    places = {(900, 200): 700, (30, 1200): 400, (2000, 1300): 140}
    for corner, side in places.items():
        photograph.paste(portrait.resize((side, side)), corner)
    for face, (corner, side) in zip(find(photograph), places.items(), strict=True):
        scale = np.array((side / 512, side / 600))
        box = np.tile(scale, 2) * BOX + np.tile(corner, 2)
        check(face, box, scale * LANDMARKS + corner, 0.4)


@pytest.mark.parametrize("degrees", [-25, 45, 180, 270])
def test_a_turned_face_has_the_landmarks_of_the_upright_one(find, portrait, degrees):
    turned = portrait.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    [face] = find(turned)
    angle = np.deg2rad(degrees)
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    middle, new_middle = np.array(portrait.size) / 2, np.array(turned.size) / 2
    # A face is about round: turned, its box is about as large.
    center = ((BOX[:2] + BOX[2:]) / 2 - middle) @ turn.T + new_middle
    half = (BOX[2:] - BOX[:2]) / 2
    box = np.concatenate([center - half, center + half])
    check(face, box, (LANDMARKS - middle) @ turn.T + new_middle, 0.3)


def test_overlap():
    box = np.array((0.0, 0.0, 2.0, 2.0))
    assert overlap(box, box) == 1.0
    assert overlap(box, box + 1) == pytest.approx(1 / 7)
    assert overlap(box, box + 2) == overlap(box, box + 5) == 0.0


class TestYuNet:
    @pytest.mark.parametrize(
        "size,x,y,side",
        [
            ((100, 80), 40, 32, 8),
            ((960, 2560), 320, 1280, 32),  # shrunk to a quarter
        ],
    )
    def test_landmarks_are_in_pixels_of_the_photograph(self, size, x, y, side):
        image = Image.new("RGB", size, (0, 0, 90))
        image.paste((255, 255, 255), (x, y, x + side, y + side))
        [face] = YuNet(BRIGHT_SPOT)(image)
        expected = (x, y) + POINTS * side
        np.testing.assert_allclose(face.landmarks, expected, atol=0.01 * side)

    def test_files_that_are_no_detector(self, tmp_path, capfd):
        with pytest.raises(UserError, match="there is no face detector .*x.onnx"):
            YuNet(tmp_path / "x.onnx")
        (tmp_path / "x.onnx").write_text("nothing")
        with pytest.raises(UserError, match="x.onnx is not a YuNet face detector"):
            YuNet(tmp_path / "x.onnx")
        YuNet(BRIGHT_SPOT)
        assert capfd.readouterr() == ("", "")
