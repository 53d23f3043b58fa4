"""Face alignment: the geometry on its own, and through OpenCV."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import saved
from PIL import Image

import qcs_jax
from qcs_jax.predict import __main__ as command
from qcs_jax.predict import align, yunet
from qcs_jax.system.errors import UserError

TEMPLATE = align.TEMPLATE * 112
FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures"
DETECTOR = FIXTURES / "bright_spot_detector.onnx"


def apply(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


def draw_similarity(seed):
    rng = np.random.default_rng(seed)
    angle, scale = rng.uniform(-np.pi, np.pi), np.exp(rng.uniform(-3, 3))
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    dx, dy = rng.uniform(-500, 500, 2)
    return np.array([[c, -s, dx], [s, c, dy]])


@pytest.mark.parametrize("seed", range(20))
def test_a_similarity_is_found_again(seed):
    matrix = draw_similarity(seed)
    found = align.similarity(TEMPLATE, apply(matrix, TEMPLATE))
    np.testing.assert_allclose(found, matrix, rtol=1e-9, atol=1e-9)
    back = align.similarity(apply(matrix, TEMPLATE), TEMPLATE)
    moved = apply(back, apply(matrix, TEMPLATE))
    np.testing.assert_allclose(moved, TEMPLATE, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_best_similarity_and_never_mirrors(seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 200, (4, 2))
    if seed % 2:  # a mirrored face
        points = TEMPLATE * (-1, 1)
    found = align.similarity(points, TEMPLATE)
    a, b = found[:, 0]
    np.testing.assert_allclose(found[:, 1], (-b, a))
    assert a * a + b * b == pytest.approx(np.linalg.det(found[:, :2]))

    def error(matrix):
        return np.sum((apply(matrix, points) - TEMPLATE) ** 2)

    for change in rng.normal(0, 1e-3, (20, 4)):
        c, s = a + change[0], b + change[1]
        shift = found[:, 2] + change[2:]
        other = np.array([[c, -s, shift[0]], [s, c, shift[1]]])
        assert error(other) >= error(found)


def test_landmarks_in_one_place_are_no_face():
    with pytest.raises(align.NoFaceFound, match="coincide"):
        align.similarity(np.ones((4, 2)), TEMPLATE)


def dots(points, size, radius):
    """White discs on black."""
    x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    image = np.zeros(size[::-1], np.uint8)
    for px, py in points:
        image[(x - px) ** 2 + (y - py) ** 2 < radius**2] = 255
    return Image.fromarray(image).convert("RGB")


def center(image, near, reach):
    """Centre of gravity of the light around a point."""
    light = np.asarray(image)[..., 0].astype(float)
    x, y = np.meshgrid(*(np.arange(n) + 0.5 for n in image.size))
    light = light * ((x - near[0]) ** 2 + (y - near[1]) ** 2 < reach**2)
    assert light.sum() > 0
    return np.array([(light * x).sum(), (light * y).sum()]) / light.sum()


@pytest.mark.parametrize("side", [48, 112, 236])
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 12.0])
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
    found = [center(aligned, near, reach=8 * side / 112) for near in targets]
    pixel = side / 112 / scale  # of the photograph, in the result
    np.testing.assert_allclose(found, targets, atol=0.3 * max(1, pixel))


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
        found = align.warp(Image.fromarray(levels), matrix, 80)
        matrix[:, 2] -= matrix[:, :2] @ (300, 200)
        wanted = align.warp(Image.fromarray(wide), matrix, 80)
        np.testing.assert_array_equal(found, wanted)
    small = align.warp(Image.new("RGB", (400, 300), "white"), matrix * 0.1, 48)
    assert np.asarray(small).min() == 255


def test_a_missing_detector_file_says_so(tmp_path):
    with pytest.raises(UserError, match="there is no face detector .*x.onnx"):
        yunet.YuNet(tmp_path / "x.onnx")


@pytest.fixture
def aligner():
    return align.Aligner(yunet.YuNet(DETECTOR))


def spot(size, x, y, side=8):
    """What the detector of the tests takes for a face, about one white square."""
    image = Image.new("RGB", size, (0, 0, 90))
    image.paste((255, 255, 255), (x, y, x + side, y + side))
    return image


# As make_bright_spot_detector.py has them.
POINTS = np.array([(-1.0, -1.0), (2.0, -0.5), (0.5, 0.75), (-0.75, 2.0), (1.5, 2.25)])
POINTS = np.concatenate([POINTS[:3], [POINTS[3:].mean(axis=0)]])


@pytest.mark.parametrize(
    "size,x,y,side",
    [
        ((100, 80), 40, 32, 8),
        ((640, 640), 320, 8, 8),
        ((1280, 960), 320, 160, 16),  # shrunk to half
        ((960, 2560), 320, 1280, 32),  # to a quarter
    ],
)
def test_landmarks_are_in_pixels_of_the_photograph(aligner, size, x, y, side):
    [found] = aligner.detect(spot(size, x, y, side))
    points = found.landmarks
    np.testing.assert_allclose(points, (x, y) + POINTS * side, atol=0.01 * side)


def test_an_aligned_face_has_its_landmarks_at_the_template(aligner):
    image = spot((300, 200), 80, 96)
    targets = TEMPLATE * 2
    matrix = align.similarity((80, 96) + POINTS * 8, targets)
    aligned = aligner(image)
    assert aligned.size == (224, 224) and aligned.mode == "RGB"
    expected = apply(matrix, np.array([(84.0, 100.0)]))[0]  # of the white square
    red = Image.fromarray(np.stack([np.asarray(aligned)[..., 0]] * 3, axis=-1))
    np.testing.assert_allclose(center(red, expected, 90), expected, atol=1)
    assert aligner(image.convert("L").convert("RGBA"), 48).size == (48, 48)


def test_the_largest_face_is_taken(aligner, monkeypatch):
    small, large = np.arange(15.0), np.arange(15.0) + 100
    small[2:4], large[2:4] = (30, 10), (20, 20)
    rows = np.stack([small, large])
    monkeypatch.setattr(aligner.detect, "_detect", lambda *_: rows)
    found, other = aligner.detect(Image.new("RGB", (10, 10)))
    assert (found.area, other.area) == (400, 300)
    np.testing.assert_array_equal(found.landmarks[:3], large[4:10].reshape(3, 2))


def test_no_face_is_an_answer(aligner, tmp_path, capsys):
    run = saved.run(tmp_path / "run", 1)
    spot((200, 160), 80, 64).save(tmp_path / "a.png")
    Image.new("RGB", (200, 160)).save(tmp_path / "b.png")
    with pytest.raises(align.NoFaceFound):
        aligner(Image.open(tmp_path / "b.png"))
    argv = [f"--checkpoint={run}", f"--detector={DETECTOR}", f"{tmp_path}/?.png"]
    assert command.main(argv) == 0
    out, err = capsys.readouterr()
    _, face, none = out.splitlines()
    assert face.endswith("  68, 52, 100, 84") and not err
    assert none.split() == [str(tmp_path / "b.png"), "no", "face"]


def test_what_is_no_detector_says_so(aligner, tmp_path):
    path = tmp_path / "x.onnx"
    path.write_text("nothing")
    with pytest.raises(UserError, match="x.onnx is not a YuNet face detector"):
        yunet.YuNet(path)


def test_loading_a_detector_is_silent(aligner):
    code = (
        "from qcs_jax.predict import align, yunet; align.Aligner();"
        f"yunet.YuNet({str(DETECTOR)!r})"
    )
    command_line = [sys.executable, "-c", code]
    done = subprocess.run(command_line, capture_output=True, text=True, check=True)
    assert not done.stdout and not done.stderr


def test_faces_are_set_as_in_the_training_images(aligner, tmp_path):
    """Where training found the landmarks; else as ArcFace's."""
    measured = (TEMPLATE / 112 * 0.9).tolist()
    image = spot((300, 200), 80, 96)
    for name, landmarks in (("none", None), ("measured", measured)):
        run = saved.run(tmp_path / name, 1, landmarks=landmarks)
        template = np.array(measured) if landmarks else align.TEMPLATE
        cut = align.Aligner(aligner.detect, template)(image, 52)
        wanted = qcs_jax.load(run).predict(cut)
        classifier = qcs_jax.load(run, detector=aligner.detect)
        [found] = classifier.predict_photo(image).faces
        np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=1e-6)
