"""What is drawn for each image, and the whole of augmentation."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pictures import assert_same_picture, random_images, random_keys
from scipy import stats

from qcs_jax.images import augment as augment_lib
from qcs_jax.images import ops
from qcs_jax.images.augment import Augmentation, augment, draw_box, preprocess
from qcs_jax.models import MEAN, STD

FULL = Augmentation(
    size=20,
    flip=0.5,
    rotation=12.0,
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
    hue=0.1,
    erase=0.5,
)

# Tests of distributions run at fixed seeds: they cannot flake, and a wrong
# distribution gives a p-value many orders of magnitude below this.
SIGNIFICANCE = 1e-3


@functools.cache
def drawn(augmentation=FULL, m=4800, h=24, w=26):
    """The arrays that `augment` passes to each operation, by its name."""
    seen = {}

    def spy(name, *, size=None):
        def operation(images, *parameters):
            seen[name] = [p for p in parameters if isinstance(p, jax.Array)]
            return images[:, :size, :size]

        return operation

    @jax.jit
    def draw(keys):
        augment(keys, jnp.zeros((m, h, w, 3), jnp.uint8), augmentation)
        return dict(seen)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("flip", "rotate", "color_jitter", "erase"):
            patch.setattr(ops, name, spy(name))
        patch.setattr(ops, "crop", spy("crop", size=augmentation.size))
        result = jax.tree.map(np.asarray, draw(random_keys(m)))
        return {name: result[name] for name in seen}  # in the order of the stages


def assert_uniform(values, low, high):
    assert values.min() >= low and values.max() <= high
    assert stats.kstest(values, "uniform", (low, high - low)).pvalue > SIGNIFICANCE


def assert_equally_likely(values, n):
    """Whole numbers 0..n-1, each of them present."""
    counts = np.bincount(values, minlength=n)
    assert len(counts) == n
    assert stats.chisquare(counts).pvalue > SIGNIFICANCE


def assert_probability(events, probability):
    test = stats.binomtest(int(events.sum()), len(events), probability)
    assert test.pvalue > SIGNIFICANCE


def test_flips_angles_and_corners():
    assert [*drawn()] == ["flip", "rotate", "crop", "color_jitter", "erase"]
    assert_probability(drawn()["flip"][0], 0.5)
    assert_uniform(drawn()["rotate"][0], -12, 12)
    top, left = drawn()["crop"]  # both ends included: 24 - 20 + 1 by 26 - 20 + 1
    assert_equally_likely(top * 7 + left, 5 * 7)
    # Each stage draws independently of the others.
    alone = drawn(Augmentation(size=20, rotation=12.0))
    assert set(alone) == {"rotate", "crop"}
    np.testing.assert_array_equal(alone["rotate"][0], drawn()["rotate"][0])
    np.testing.assert_array_equal(alone["crop"][0], top)


def test_jitter_has_any_order_and_uniform_amounts():
    order, amounts = drawn()["color_jitter"]
    np.testing.assert_array_equal(np.sort(order), np.tile(np.arange(4), (4800, 1)))
    ranks = {p: n for n, p in enumerate(itertools.permutations(range(4)))}
    assert_equally_likely(np.asarray([ranks[tuple(o)] for o in order.tolist()]), 24)
    for column in range(3):
        assert_uniform(amounts[:, column], np.float32(0.8), np.float32(1.2))
    assert_uniform(amounts[:, 3], -np.float32(0.1), np.float32(0.1))
    correlation = np.corrcoef(amounts.T) - np.eye(4)
    assert np.abs(correlation).max() < 0.06  # 4 standard deviations
    # Factors are never negative.
    amounts = drawn(Augmentation(size=4, brightness=1.5), 500, 4, 4)["color_jitter"][1]
    assert_uniform(amounts[:, 0], 0, 2.5)


@functools.partial(jax.jit, static_argnames="size")
def draw_boxes(keys, size, probability, area):
    return jax.vmap(lambda key: draw_box(key, size, probability, area))(keys)


def boxes(size=224, probability=1.0, area=(0.02, 0.1)):
    """Top, left, height and width of 4000 boxes, `[4, 4000]`."""
    return np.asarray(draw_boxes(random_keys(4000), size, probability, area)).T


def test_erased_area_ratio_and_place():
    top, left, height, width = boxes()
    # Sides are rounded: undo the worst case before comparing with the limits.
    assert ((height + 0.5) * (width + 0.5)).min() >= 0.02 * 224**2
    assert ((height - 0.5) * (width - 0.5)).max() <= 0.1 * 224**2
    assert ((height + 0.5) / (width - 0.5)).min() >= 0.3
    assert ((height - 0.5) / (width + 0.5)).max() <= 3.3
    fraction = height * width / 224**2
    assert stats.kstest(fraction, "uniform", (0.02, 0.08)).pvalue > SIGNIFICANCE
    log_ratio = np.log(height / width)
    low, high = math.log(0.3), math.log(3.3)
    uniform = stats.kstest(log_ratio, "uniform", (low, high - low))
    assert uniform.statistic < 0.03  # whole sides make the ratio slightly discrete
    assert top.min() == 0 and (top + height).max() == 224
    assert left.min() == 0 and (left + width).max() == 224


def test_erasing_probability_and_corners():
    assert_probability(boxes(probability=0.3)[2] > 0, 0.3)
    assert not boxes(probability=0.0).any()
    assert not boxes(size=8, area=(1.0, 1.0)).any()  # nothing fits
    top, _, height, _ = boxes(size=8, area=(0.25, 0.25))
    assert_equally_likely(top[height == 4], 5)
    # The first of ten tries that fits is taken.
    area, rng = (0.3, 0.99), np.random.default_rng(3)
    slow = np.asarray([slow_box(rng, 8, area) for _ in range(4000)]).T
    for actual, expected in zip(boxes(8, area=area)[2:], slow, strict=True):
        assert stats.ks_2samp(actual, expected).pvalue > SIGNIFICANCE


def slow_box(rng, size, area):
    """The definition: try, look, try again."""
    for _ in range(10):
        pixels = size**2 * rng.uniform(*area)
        ratio = math.exp(rng.uniform(math.log(0.3), math.log(3.3)))
        height = round(math.sqrt(pixels * ratio))
        width = round(math.sqrt(pixels / ratio))
        if height < size and width < size:
            return height, width
    return 0, 0


def test_scale_and_shift_replace_random_crops():
    """A bright square of 8 pixels in the middle tells its size and place."""
    images = np.zeros((500, 40, 40, 3), np.uint8)
    images[:, 16:24, 16:24] = 200
    how = Augmentation(32, scale=0.5, shift=0.1)
    levels = np.asarray(augment(random_keys(500), images, how)) * STD + MEAN
    bright = levels.mean(-1) * 255 / 200
    side = np.sqrt(bright.sum((1, 2))) / 8
    assert 0.64 < side.min() < 0.7 and 1.45 < side.max() < 1.53
    np.testing.assert_allclose(np.log(side).mean(), 0, atol=0.03)
    where = np.arange(32) - 15.5
    down = (bright.sum(2) @ where) / bright.sum((1, 2))
    across = (bright.sum(1) @ where) / bright.sum((1, 2))
    for moved in (down, across):
        assert 3 < moved.max() < 3.25 and -3.25 < moved.min() < -3
    assert abs(np.corrcoef([down, across, side]) - np.eye(3)).max() < 0.15


def test_an_image_does_not_depend_on_the_rest_of_the_batch():
    keys, images = random_keys(6), random_images(6)
    everything = jax.jit(functools.partial(augment, augmentation=FULL))
    result = np.asarray(everything(keys, images))
    assert (result.shape, result.dtype) == ((6, 20, 20, 3), np.float32)
    order = np.asarray([3, 5, 0, 1, 4, 2])
    np.testing.assert_array_equal(everything(keys[order], images[order]), result[order])
    assert not np.array_equal(everything(random_keys(6, seed=1), images), result)
    some = np.asarray([4, 1])
    alone = np.asarray(everything(keys[some], images[some]))
    assert_same_picture(alone, result[some], unit=1 / 255 / min(augment_lib.STD))


def test_nothing_to_draw_is_preprocess_and_what_is_too_small_is_refused():
    keys, images = random_keys(2), random_images(2)
    augmentation = Augmentation(size=24, erase_area=[0.02, 0.1])  # as a config has it
    assert hash(augmentation) == hash(Augmentation(size=24))
    expected = preprocess(images, 24)
    np.testing.assert_array_equal(augment(keys, images, augmentation), expected)
    jaxpr = str(jax.make_jaxpr(lambda k, x: augment(k, x, augmentation))(keys, images))
    for primitive in ("random", "gather", "select", "floor"):
        assert primitive not in jaxpr
    images = np.zeros((2, 19, 24, 3), np.uint8)
    with pytest.raises(ValueError, match="19x24 are smaller than .* 20x20; resize"):
        augment(random_keys(2), images, FULL)
    with pytest.raises(ValueError, match="24x19 are smaller"):
        preprocess(images.swapaxes(1, 2), 20)
