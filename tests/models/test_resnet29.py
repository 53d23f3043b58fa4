"""dlib's network: equal to its description, step by step, and folded."""

import functools

import jax
import numpy as np
import pytest
import small
from face_arrays import UNITS, arrays
from jax import lax

from qcs_jax import models
from qcs_jax.convert.faces import backbone_of
from qcs_jax.models import MEAN, STD, folded


def described(images):
    """The levels of 64, 128 and 256 channels, of images in [0, 1], float64."""
    a = {name: np.float64(x) for name, x in arrays().items()}

    def layer(x, name, stride, padding):
        with jax.enable_x64(True):
            x = lax.conv_general_dilated(
                x,
                a[f"{name}/conv/filters"],
                (stride, stride),
                padding,
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        x = np.asarray(x) + a[f"{name}/conv/bias"]
        return x * a[f"{name}/scale/weights"] + a[f"{name}/scale/biases"]

    def windows(x, side):
        views = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
        return views[:, ::2, ::2]

    def unit(x, name):
        down = name.endswith("down")
        h = layer(x, f"{name}/conv1", 2 if down else 1, "VALID" if down else "SAME")
        h = layer(np.maximum(h, 0), f"{name}/conv2", 1, "SAME")
        if down:
            x = windows(x, 2).mean((-1, -2))
            whole = np.zeros((*x.shape[:3], h.shape[3]))
            whole[:, : h.shape[1], : h.shape[2]] += h
            whole[..., : x.shape[3]] += x
        else:
            whole = h + x
        return np.maximum(whole, 0)

    x = (255 * np.float64(images) - (122.782, 117.001, 104.298)) / 256
    x = windows(np.maximum(layer(x, "conv32_down", 2, "VALID"), 0), 3).max((-1, -2))
    levels = []
    for c, names in UNITS.items():
        for name in names:
            x = unit(x, f"conv{c}_{name}")
        levels.append(x)
    return levels[1:]


@pytest.mark.parametrize("side", [104, 110])
def test_equals_its_description(side):
    """Of 104 pixels, zeros fill a row of all three levels; of 110, of the last two."""
    images = np.random.default_rng(1).uniform(0, 1, (3, side, side, 3))
    seen = np.float32((images - MEAN) / STD)
    model = models.create("baseline", "medium", image_size=side)
    variables = backbone_of(arrays(), seen[:2])
    for name, tree in small.variables(model).items():
        for part, value in tree["base"].items():
            variables[name]["base"].setdefault(part, value)

    def levels(model, variables):
        keep = lambda module, _: module.name == "backbone"  # noqa: E731
        kept = dict(capture_intermediates=keep, mutable="intermediates")
        logits, seen_by = jax.jit(functools.partial(model.apply, **kept))(
            variables, seen
        )
        return logits, seen_by["intermediates"]["base"]["backbone"]["__call__"][0]

    logits, found = levels(model, variables)
    expected = described(images)
    assert [x.shape[1:] for x in found] == [(12, 12, 64), (6, 6, 128), (3, 3, 256)]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * theirs.max())
    again, found = levels(*folded.fold(model, variables))
    np.testing.assert_allclose(again, logits, atol=1e-5)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * theirs.max())


def test_in_training_it_begins_with_the_same_function():
    """Statistics of a batch are those that were measured on the same images."""
    images = small.images(4, 104, 104, 3)
    model = models.create("baseline", "medium")
    variables = small.variables(model)
    own = backbone_of(arrays(), images)
    for name, tree in variables.items():
        tree["base"]["backbone"] = own[name]["base"]["backbone"]
    trained, _ = model.apply(variables, images, train=True, mutable=["batch_stats"])
    logits = model.apply(variables, images)
    np.testing.assert_allclose(trained, logits, atol=1e-4 * np.abs(logits).max())


def test_levels_that_do_not_match_say_so():
    model = models.create("baseline", "medium", image_size=112)
    with pytest.raises(ValueError, match=r"levels of \[16, 9, 9\] tokens.*image_size"):
        jax.eval_shape(lambda: models.init(model, jax.random.key(0)))
