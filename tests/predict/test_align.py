"""Face alignment: the geometry on its own, and of detected faces."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from qcs_jax.predict import align
from qcs_jax.predict.detector import BlazeFace
from qcs_jax.system.errors import UserError

TEMPLATE = align.TEMPLATE * 112


@pytest.fixture(scope="module")
def find():
    return BlazeFace()


def cut(image, face, template, side):
    matrix = align.similarity(face.landmarks, template * side)
    return align.warp(image, matrix, side)


@pytest.mark.parametrize("kind", ["similar", "random", "mirrored"])
def test_it_is_the_best_similarity_and_never_mirrors(kind):
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 200, (4, 2))
    if kind != "random":
        p = (TEMPLATE @ (1, 1j)) * (-0.7 + 2j) + 30
        points = np.stack([-p.real if kind == "mirrored" else p.real, p.imag], axis=1)
    (x, y), one, zero = points.T, np.ones(4), np.zeros(4)
    equations = np.array([[x, -y, one, zero], [y, x, zero, one]])
    equations = equations.swapaxes(1, 2).reshape(8, 4)
    a, b, dx, dy = np.linalg.lstsq(equations, TEMPLATE.T.ravel())[0]
    fitted = align.similarity(points, TEMPLATE)
    np.testing.assert_allclose(fitted, [[a, -b, dx], [b, a, dy]], atol=1e-9)
    with pytest.raises(UserError, match="coincide"):
        align.similarity(np.ones((4, 2)), TEMPLATE)


@pytest.mark.parametrize(
    "side,scale,degrees",
    [(48, 0.5, 0), (236, 0.5, 35), (48, 1.0, -170), (236, 1.0, 0), (48, 12.0, 35)],
)
def test_landmarks_of_any_photograph_come_to_the_template(side, scale, degrees):
    turn = scale * np.exp(1j * np.deg2rad(degrees))
    p = (TEMPLATE - 56) @ (1, 1j) * turn
    span = int(160 * scale)
    points = np.stack([p.real, p.imag], axis=1) + span / 2 + (3.3, -2.1)
    # The colours of the photograph are the places of its pixels.
    x, y = np.meshgrid(*[(np.arange(span) + 0.5) * 255 / span] * 2)
    photograph = np.round(np.stack([x, y, y], axis=-1)).astype(np.uint8)
    targets = TEMPLATE * side / 112
    matrix = align.similarity(points, targets)
    aligned = align.warp(Image.fromarray(photograph), matrix, side)
    assert aligned.size == (side, side)
    for channel, expected in zip(aligned.split(), points.T, strict=False):
        seen = ndimage.map_coordinates(
            np.asarray(channel, float), targets.T[::-1] - 0.5, order=1
        )
        pixel = scale * 112 / side  # of the result, in the photograph
        tolerance = 0.3 * max(pixel, 1) + span / 255
        np.testing.assert_allclose(seen * span / 255, expected, atol=tolerance)


def test_the_edge_goes_on_where_the_photograph_ends():
    """As if the photograph had been larger, whatever is cut out of it."""
    levels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    wide = np.pad(levels, ((200, 200), (300, 300), (0, 0)), "edge")
    for scale, degrees in ((1.0, 0), (1.7, 30), (3.0, -80), (1.0, 170)):
        turn = scale * np.exp(1j * np.deg2rad(degrees))
        matrix = np.array([[turn.real, -turn.imag, 9], [turn.imag, turn.real, 20]])
        cut = align.warp(Image.fromarray(levels), matrix, 80)
        matrix[:, 2] -= matrix[:, :2] @ (300, 200)
        expected = align.warp(Image.fromarray(wide), matrix, 80)
        np.testing.assert_array_equal(cut, expected)
    noise = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    small = align.warp(Image.fromarray(noise), np.eye(2, 3) / 10, 80)  # averages
    assert abs(np.mean(small) - 127.5) < 1 and np.std(small) < 12


def test_the_template_of_aligned_faces_is_the_one_they_were_aligned_to(find, portrait):
    template = align.TEMPLATE * 0.8 + 0.1
    turned = [portrait.rotate(degrees) for degrees in range(-11, 12, 2)]
    faces = [cut(x, find.upright(x)[0], template, 96) for x in turned]
    np.testing.assert_allclose(align.template_of(faces), template, atol=0.04)
    grey = [Image.new("RGB", (48, 48), (g, g, g)) for g in range(20)]
    assert align.template_of(grey) is None
    assert align.template_of(faces[:9]) is None  # too few to tell


@pytest.mark.parametrize("size, fits", [(0.6, False), (1.0, True), (1.2, True)])
def test_a_small_square_that_is_cut_already_is_a_crop(find, portrait, size, fits):
    aim, side = (align.TEMPLATE, 224), 104
    crop = cut(portrait, find(portrait)[0], align.TEMPLATE, side)
    around = round(side / size)  # the same face in a wider or narrower frame
    corner = (around - side) // 2
    image = Image.new("RGB", (around, around), (90, 110, 80))
    image.paste(crop, (corner, corner))
    faces = find(image)
    assert len(faces) == 1
    assert align.is_crop(image, faces, *aim) == fits
    assert not align.is_crop(image, faces * 2, *aim)
    # The same face in more pixels, or in another shape, was cut out by somebody.
    large = image.resize((225, 225))
    assert not align.is_crop(large, find(large), *aim)
    assert not align.is_crop(image.crop((0, 0, around, around - 4)), faces, *aim)
