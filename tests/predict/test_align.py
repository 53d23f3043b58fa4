"""Face alignment: the geometry on its own, and of detected faces."""

import numpy as np
import pytest
from PIL import Image

from qcs_jax.predict import align
from qcs_jax.predict.detector import BlazeFace
from qcs_jax.system.errors import UserError

TEMPLATE = align.TEMPLATE * 112


@pytest.fixture(scope="module")
def aligner():
    return align.Aligner(BlazeFace())


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


def grid(size):
    return np.meshgrid(*(np.arange(n) + 0.5 for n in size))


def dots(points, size, radius):
    """White discs on black."""
    x, y = grid(size)
    image = np.zeros(size[::-1], np.uint8)
    for px, py in points:
        image[(x - px) ** 2 + (y - py) ** 2 < radius**2] = 255
    return Image.fromarray(image).convert("RGB")


def center(image, near, reach):
    """Centre of gravity of the light around a point."""
    light = np.asarray(image)[..., 0].astype(float)
    x, y = grid(image.size)
    light = light * ((x - near[0]) ** 2 + (y - near[1]) ** 2 < reach**2)
    assert light.sum() > 0
    return np.array([(light * x).sum(), (light * y).sum()]) / light.sum()


@pytest.mark.parametrize("side", [48, 236])
@pytest.mark.parametrize("scale", [0.5, 1.0, 12.0])
@pytest.mark.parametrize("degrees", [0, 35, -170])
def test_landmarks_of_any_photograph_come_to_the_template(side, scale, degrees):
    turn = scale * np.exp(1j * np.deg2rad(degrees))
    p = (TEMPLATE - 56) @ (1, 1j) * turn
    span = int(160 * scale)
    points = np.stack([p.real, p.imag], axis=1) + span / 2 + (3.3, -2.1)
    photograph = dots(points, (span, span + 9), radius=4 * scale)
    targets = TEMPLATE * side / 112
    aligned = align.warp(photograph, align.similarity(points, targets), side)
    assert aligned.size == (side, side)
    centers = [center(aligned, near, reach=8 * side / 112) for near in targets]
    pixel = side / 112 / scale  # of the photograph, in the result
    np.testing.assert_allclose(centers, targets, atol=0.3 * max(1, pixel))


def test_shrinking_averages():
    noise = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    matrix = np.array([[0.1, 0, 0], [0, 0.1, 0]])
    small = np.asarray(align.warp(Image.fromarray(noise), matrix, 80)).astype(float)
    assert abs(small.mean() - 127.5) < 1 and small.std() < 12


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
    small = align.warp(Image.new("RGB", (400, 300), "white"), matrix * 0.1, 48)
    assert np.asarray(small).min() == 255


def test_an_aligned_face_is_the_same_wherever_it_was(aligner, portrait):
    """Shifted, scaled and turned photographs give nearly the same crop."""

    def align_largest(image):
        crop = aligner.cut(image, aligner.detect(image)[0], 48)
        assert crop.size == (48, 48) and crop.mode == "RGB"
        return np.asarray(crop, float)

    expected = align_largest(portrait)
    plain = np.abs(expected - np.asarray(portrait.resize((48, 48)), float)).mean()
    for factor, degrees in ((0.5, 0), (1.5, 8), (1.0, -15), (0.8, 20)):
        size = tuple(round(factor * side) for side in portrait.size)
        moved = portrait.resize(size).rotate(degrees, Image.Resampling.BICUBIC)
        assert np.abs(align_largest(moved) - expected).mean() < 0.4 * plain


def test_the_template_of_aligned_faces_is_the_one_they_were_aligned_to(portrait):
    template = align.TEMPLATE * 0.8 + 0.1
    aligner = align.Aligner(template=template)
    turned = [portrait.rotate(degrees) for degrees in range(-11, 12, 2)]
    faces = [aligner.cut(x, aligner.detect.upright(x)[0], 96) for x in turned]
    np.testing.assert_allclose(align.template_of(faces), template, atol=0.04)
    grey = [Image.new("RGB", (48, 48), (g, g, g)) for g in range(20)]
    assert align.template_of(grey) is None
    assert align.template_of(faces[:9]) is None  # too few to tell


@pytest.mark.parametrize("size, fits", [(0.6, False), (1.0, True), (1.2, True)])
def test_a_small_square_that_is_cut_already_is_a_crop(aligner, portrait, size, fits):
    find, side = aligner.detect, 104
    crop = aligner.cut(portrait, find(portrait)[0], side)
    around = round(side / size)  # the same face in a wider or narrower frame
    corner = (around - side) // 2
    image = Image.new("RGB", (around, around), (90, 110, 80))
    image.paste(crop, (corner, corner))
    faces = find(image)
    assert len(faces) == 1
    assert aligner.is_crop(image, faces, 224) == fits
    assert not aligner.is_crop(image, faces * 2, 224)
    # The same face in more pixels, or in another shape, was cut out by somebody.
    large = image.resize((225, 225))
    assert not aligner.is_crop(large, find(large), 224)
    assert not aligner.is_crop(image.crop((0, 0, around, around - 4)), faces, 224)
