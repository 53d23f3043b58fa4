"""What cameras do, against Pillow and against definitions."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from qcs_jax.images import photograph
from qcs_jax.images.augment import Augmentation, augment
from qcs_jax.images.photograph import Harm

KEY = jax.random.key(0)


def image(s, seed=0):
    """Grey, smooth and rough at once, far from black and white."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:s, :s] / s
    levels = 128 + 50 * np.sin(5 * x + 3 * y) + 20 * rng.uniform(-1, 1, (s, s))
    return np.repeat(levels[..., None], 3, axis=2).round().astype(np.float32)


def harmed(x, **how):
    return np.asarray(jax.jit(photograph.harm)(KEY, x, Harm(**how)))


@pytest.mark.parametrize("s", [44, 104])
def test_defaults_change_nothing(s):
    np.testing.assert_allclose(harmed(image(s)), image(s), atol=1e-3)


@pytest.mark.parametrize("s, side", [(104, 20), (104, 52), (44, 11)])
def test_far_away_is_resized_twice_as_pillow_does_it(s, side):
    picture = Image.fromarray(image(s)[..., 0].astype(np.uint8))
    small = picture.resize((side, side), Image.Resampling.BILINEAR)
    expected = np.asarray(small.resize((s, s), Image.Resampling.BILINEAR), np.float32)
    # Pillow rounds to whole levels in between.
    np.testing.assert_allclose(
        harmed(image(s), side=side / s)[..., 0], expected, atol=1.6
    )


@pytest.mark.parametrize("quality", [8, 30])
@pytest.mark.parametrize("s", [104, 44])
def test_compressed_is_grey_jpeg(s, quality):
    buffer, levels = io.BytesIO(), image(s)[..., 0].astype(np.uint8)
    Image.fromarray(levels).save(buffer, "JPEG", quality=quality)
    expected = np.asarray(Image.open(buffer), np.float32)
    found = harmed(image(s), quality=float(quality))[..., 0]
    # Where a cosine lies between two steps, another rounding takes the other.
    assert np.abs(found - expected).mean() < 0.5
    assert np.abs(levels - expected).mean() > 2


def test_blur_is_a_mean_of_either_axis_alone():
    x = np.zeros((41, 41, 3), np.float32)
    x[20, 20] = 200
    y = harmed(x, sigmas=(3 / 41, 0.0))[..., 0]
    expected = np.exp(-0.5 * (np.arange(-20, 21) / 3) ** 2)
    np.testing.assert_allclose(y[:, 20], 200 * expected / expected.sum(), atol=1e-2)
    np.testing.assert_allclose(y.sum(), 200, rtol=1e-4)
    flat = np.full_like(x, 90)
    np.testing.assert_allclose(harmed(flat, sigmas=(0.1, 0.2)), flat, atol=1e-3)


def test_light_and_noise():
    grey = np.full((104, 104, 3), 64.0, np.float32)
    np.testing.assert_allclose(harmed(grey, gamma=0.5), 255 * np.sqrt(64 / 255), 1e-5)
    dark = harmed(grey, light=0.25)
    assert dark.mean() == pytest.approx(16, rel=0.01)
    assert dark.std() == pytest.approx(4, rel=0.03)  # of 16 photons
    noisy = harmed(grey, deviation=10.0)
    assert noisy.std() == pytest.approx(10, rel=0.03)
    assert np.ptp(noisy, axis=-1).max() > 1  # in each colour for itself


def test_every_image_draws_one_way_or_none():
    draw = jax.vmap(photograph.draw, (0, None))
    how = draw(jax.random.split(KEY, 3000), 0.6)
    changed = np.stack(
        [
            np.asarray(x).reshape(3000, -1)[:, 0] != np.float32(np.ravel(default)[0])
            for x, default in zip(how, Harm(), strict=True)
        ]
    )
    assert set(changed.sum(axis=0)) == {0, 1}
    np.testing.assert_allclose(changed.mean(axis=1), 0.1, atol=0.025)
    lights = np.asarray(how.light)[changed[photograph.DARK]]
    assert 0.05 <= lights.min() < 0.07 and 0.6 < lights.max() <= 0.7


def test_augmentation_does_it_to_some_of_the_images():
    pixels = np.stack([image(40, seed).astype(np.uint8) for seed in range(64)])
    keys = jax.random.split(KEY, 64)
    plain, worse = (
        np.asarray(augment(keys, jnp.asarray(pixels), Augmentation(40, photograph=p)))
        for p in (0.0, 0.5)
    )
    changed = np.abs(plain - worse).max((1, 2, 3)) > 1e-3
    assert 0.3 < changed.mean() < 0.7
    assert np.isfinite(worse).all()
