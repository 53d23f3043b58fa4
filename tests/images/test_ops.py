"""Image operations against torchvision's results."""

import itertools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from pictures import COLORS, assert_same_picture, floats, ints, random_images
from PIL import Image

from qcs_jax.images import ops
from qcs_jax.images.augment import MEAN, STD, preprocess

JITTER = jax.jit(ops.color_jitter, static_argnames="operations")


def adjust(name, image, amount):
    """Colour jitter of one image by one operation."""
    return JITTER(image, ints([0]), floats([amount]), operations=(name,))


@pytest.fixture(scope="module")
def golden():
    path = pathlib.Path(__file__).parents[1] / "golden" / "augment.json"
    return {k: np.asarray(v) for k, v in json.loads(path.read_text()).items()}


@pytest.mark.parametrize(
    "case",
    [f"{name}_{factor}" for name in COLORS[:3] for factor in (0.8, 1.2)]
    + ["hue_-0.1", "hue_0.05", "hue_0.1"],
)
def test_colors_are_torchvisions(golden, case):
    name, amount = case.split("_")
    images = jnp.asarray(golden["input"], jnp.float32)[None]
    result = adjust(name, images, float(amount))
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result[0], golden[case], rtol=0, atol=2)


def test_rotations_are_torchvisions(golden):
    degrees = (-12, 7, 10)
    images = jnp.asarray(np.stack([golden["square"]] * 3), jnp.uint8)
    result = ops.rotate(images, floats(*degrees))
    assert result.dtype == jnp.uint8
    for image, angle in zip(result, degrees, strict=True):
        np.testing.assert_array_equal(image, golden[f"rotate_{angle}"])


def test_rotations_are_pils_at_any_angle_and_shape():
    degrees = np.random.default_rng(0).uniform(-180, 180, 60).astype(np.float32)
    degrees[:5] = 0, 90, 180, -90, 45
    image = np.asarray(random_images(1, 37, 53)[0])
    images = jnp.asarray(np.stack([image] * len(degrees)))
    expected = [Image.fromarray(image).rotate(float(d)) for d in degrees]
    result = np.asarray(ops.rotate(images, jnp.asarray(degrees)))
    different = (result != np.stack([np.asarray(e) for e in expected])).any(-1)
    assert not different[:5].any()
    # float32 against double: a pixel in ten thousand may be on the other side.
    assert different.mean() < 1e-4


def test_crop_and_normalization_are_torchvisions(golden):
    images = jnp.asarray(golden["square"], jnp.uint8)[None]
    cut = ops.crop(images, ints(2), ints(2), 20)
    np.testing.assert_array_equal(cut[0], golden["center_crop_20"])
    expected = (golden["center_crop_20"] / 255 - MEAN) / STD
    np.testing.assert_allclose(preprocess(images, 20)[0], expected, rtol=0, atol=1e-6)
    for side, first in ((23, 2), (25, 2), (27, 4)):  # halves go to the even number
        images = random_images(1, side, side)
        cut = images[:, first : first + 20, first : first + 20]
        np.testing.assert_array_equal(preprocess(images, 20), preprocess(cut, 20))
    images, expected = jnp.asarray(golden["input"], jnp.uint8), golden["normalized"]
    for half in (np.s_[:, :12], np.s_[:, 4:]):
        found = preprocess(images[half][None], 12)[0]
        np.testing.assert_allclose(found, expected[half], rtol=0, atol=1e-6)


def test_warp_moves_by_whole_pixels_and_crops_the_middle():
    images = small.pixels(2, 12, 14, 3)
    zero, one = jnp.zeros(2), jnp.ones(2)
    same = ops.warp(images, zero, one, jnp.zeros((2, 2)), 8)
    np.testing.assert_allclose(same, images[:, 2:10, 3:11], atol=1e-3)
    shift = jnp.array([[1.0, -3.0], [0.0, 5.0]])  # down, right
    moved = ops.warp(images, zero, one, shift, 8)
    np.testing.assert_allclose(moved[0], images[0, 1:9, 6:14], atol=1e-3)
    np.testing.assert_allclose(moved[1, :, 2:], images[1, 2:10, :6], atol=1e-3)
    np.testing.assert_array_equal(moved[1, :, :2], 0)  # black came in


def test_warp_turns_and_enlarges_as_pillow_does():
    y, x = np.mgrid[:40, :40] / 40
    smooth = 128 + 100 * np.sin(4 * x + 1) * np.cos(3 * y)
    images = np.repeat(smooth[None, ..., None], 3, axis=3).astype(np.uint8)
    picture, middle = Image.fromarray(images[0]), slice(10, 30)
    zero = jnp.zeros((1, 2))
    turned = ops.warp(images, jnp.array([30.0]), jnp.ones(1), zero, 20)[0]
    expected = np.asarray(picture.rotate(30, Image.Resampling.BILINEAR), np.float32)
    np.testing.assert_allclose(turned, expected[middle, middle], atol=1.1)
    larger = ops.warp(images, jnp.zeros(1), jnp.array([2.0]), zero, 40)[0]
    expected = picture.resize((80, 80), Image.Resampling.BILINEAR)
    expected = np.asarray(expected, np.float32)[20:60, 20:60]
    np.testing.assert_allclose(larger, expected, atol=1.1)


def test_crop_flip_and_erase():
    images = random_images(3)
    cut = ops.crop(images, ints(0, 2, 4), ints(4, 1, 0), 20)
    for n, (top, left) in enumerate([(0, 4), (2, 1), (4, 0)]):
        expected = images[n, top : top + 20, left : left + 20]
        np.testing.assert_array_equal(cut[n], expected)
    flipped = ops.flip(images, jnp.asarray([True, False, False]))
    np.testing.assert_array_equal(flipped[0], np.asarray(images[0])[:, ::-1])
    np.testing.assert_array_equal(flipped[1:], images[1:])
    erased = ops.erase(images[:2], ints((1, 2, 3, 4), (0, 0, 0, 0)))
    expected = np.array(images[:2])
    expected[0, 1:4, 2:6] = 0
    np.testing.assert_array_equal(erased, expected)


@pytest.mark.parametrize("operations", [COLORS, ("contrast", "brightness")])
def test_jitter_is_its_operations_one_after_another(operations):
    orders = list(itertools.permutations(range(len(operations))))
    m, rng = len(orders), np.random.default_rng(1)
    images = np.asarray(random_images(m, 16, 16), np.float32)
    amounts = rng.uniform(0.6, 1.4, (m, len(operations))).astype(np.float32)
    if "hue" in operations:
        amounts[:, operations.index("hue")] = rng.uniform(-0.5, 0.5, m)
    result = JITTER(images, ints(*orders), amounts, operations=operations)
    for n, order in enumerate(orders):
        expected = images[n : n + 1]
        for op in order:
            expected = adjust(operations[op], expected, amounts[n, op])
        assert_same_picture(result[n], expected[0], unit=1.0)
