"""Worse images: the same always, worse with severity, and nothing else."""

from unittest import mock

import numpy as np
import pytest
from scipy import ndimage

from qcs_jax.images import corruptions
from qcs_jax.images.corruptions import CORRUPTIONS, SEVERITIES, corrupt

LANDMARKS = np.array([(0.32, 0.4), (0.68, 0.4), (0.5, 0.6), (0.5, 0.78)])
DRAWN = ("motion blur", "noise", "low light", "rotation", "shift")  # at random
OF_PIXELS = {"noise", "JPEG", "low light"}  # not of the scene


def face(side=64):
    """Dark eyes and a mouth on a skin with some grain, RGB."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    levels = 170 + 40 * np.sin(9 * x) * np.cos(7 * y)
    for u, v in LANDMARKS[[0, 1, 3]]:
        levels -= 120 * np.exp(-(((x - u) / 0.08) ** 2) - ((y - v) / 0.05) ** 2)
    grain = np.random.default_rng(0).normal(0, 4, (side, side))
    levels = np.clip(levels + grain, 0, 255)
    return np.stack([levels, 0.9 * levels, 0.8 * levels], axis=-1).astype(np.uint8)


def worse(name, severity, key="a", pixels=None):
    pixels = face() if pixels is None else pixels
    return corrupt(pixels, name, severity, key, LANDMARKS)


def distance(x, y):
    return np.mean((x.astype(float) - y) ** 2)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_always_and_worse_with_severity(name):
    clean, distances = face(), []
    for severity in SEVERITIES:
        found = worse(name, severity)
        assert found.shape == clean.shape and found.dtype == np.uint8
        np.testing.assert_array_equal(found, worse(name, severity))
        distances.append(distance(found, clean))
    assert distances[0] > 0.5 and distances == sorted(distances)
    for side in (8, 225):  # any size
        assert worse(name, 5, pixels=face(side)).shape == (side, side, 3)
    differs = [worse(name, 4, key).tobytes() for key in "abcd"]
    assert (len(set(differs)) > 1) == (name in DRAWN)


@pytest.mark.parametrize("name", sorted(CORRUPTIONS.keys() - OF_PIXELS))
def test_images_of_all_sizes_suffer_alike(name):
    """A small image that is made worse is a large one, made worse and then shrunk.

    But for what is of pixels, not of the scene.
    """
    large, clean = worse(name, 4, pixels=face(256)), face(256)
    large, clean = (x.reshape(64, 4, 64, 4, 3).mean((1, 3)) for x in (large, clean))
    small = worse(name, 4, pixels=clean.round().astype(np.uint8))
    assert distance(small, large) < 0.2 * distance(small, clean)


def test_severities_differ_in_nothing_else():
    clean = face().astype(float)
    once, twice = (worse("noise", severity) - clean for severity in (1, 2))
    inside = (clean > 90) & (clean < 160)  # nothing is clipped there
    np.testing.assert_allclose(twice[inside], 2 * once[inside], atol=1.6)


@pytest.mark.parametrize("name", ["motion blur", "defocus blur"])
def test_blurring_is_a_weighted_mean(name, monkeypatch):
    spy = mock.Mock(wraps=corruptions._filtered)
    monkeypatch.setattr(corruptions, "_filtered", spy)
    found, weights = worse(name, 4), spy.call_args.args[1]
    assert weights.min() >= 0
    weights = (weights / weights.sum())[..., None]
    expected = ndimage.convolve(face().astype(float), weights, mode="nearest")
    assert abs(found - expected).max() <= 0.5 + 1e-9
    flat = np.full((40, 40, 3), 77, np.uint8)
    np.testing.assert_array_equal(worse(name, 5, pixels=flat), flat)


def test_what_is_hidden():
    x, y = np.round(64 * LANDMARKS).astype(int).T
    for name, expected in (("eyes", [1, 1, 0, 0]), ("mouth", [0, 0, 0, 1])):
        changed = (worse(f"{name} hidden", 3) != face()).any(axis=-1)
        assert changed[y, x].tolist() == expected


def test_turned_and_moved():
    spot = np.zeros((100, 100, 3), np.uint8)
    spot[20:30, 45:55] = 255
    for key in "abcdef":
        found = worse("rotation", 3, key, spot)[..., 0]
        y, x = np.array(ndimage.center_of_mass(found)) - 49.5
        assert np.hypot(x, y) == pytest.approx(25, abs=0.5)
        assert abs(np.degrees(np.arctan2(x, -y))) == pytest.approx(25, abs=1)
        found = worse("shift", 2, key, spot)[..., 0]
        moved = np.array(ndimage.center_of_mass(found)) - (24.5, 49.5)
        assert np.hypot(*moved) == pytest.approx(10, abs=0.2)
