"""Networks without batch normalisation say what they said with it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import published
import pytest
import small
from flax.traverse_util import flatten_dict

from qcs_jax import models
from qcs_jax.models import folded
from qcs_jax.models.convolution import Shift


def base(variables):
    return {name: {"base": tree["base"]} for name, tree in variables.items()}


def test_published_numbers():
    golden = published.read("qcs_7")
    images, _ = published.batch(golden["seed"], 0, golden["branches"], 7)
    images = images.reshape(-1, *images.shape[2:])
    model, variables = folded.fold(
        models.create("qcs"), base(published.variables("qcs_7"))
    )
    logits = jax.jit(model.apply)(variables, images)
    expected = np.reshape(golden["eval_base_logits"], logits.shape)
    np.testing.assert_allclose(logits, expected, atol=2e-5)


@pytest.mark.parametrize("units, image_size", [((2, 1, 3), 30), ((2, 2, 2), 8)])
def test_logits_and_features(units, image_size):
    """Of 30 pixels, maps are odd on the way; of 8, they end at a single pixel."""
    model = small.create("baseline", units=units, image_size=image_size)
    variables = small.variables(model)
    images = small.images(3, image_size, image_size, 3)
    expected, found = (
        jax.jit(functools.partial(model.apply, method="embed"))(variables, images)
        for model, variables in [(model, variables), folded.fold(model, variables)]
    )
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-5)


def test_the_shift_is_smaller_at_the_border():
    """What a kernel of ones makes of a shift of 1: the number of taps inside."""
    taps = jnp.ones((3, 3, 1))
    found = Shift().apply({"params": {"taps": taps}}, jnp.zeros((1, 3, 4, 1)))
    expected = [[4, 6, 6, 4], [6, 9, 9, 6], [4, 6, 6, 4]]
    np.testing.assert_array_equal(found[0, ..., 0], expected)


def test_what_is_folded():
    model = small.create("qcs")
    variables = base(small.variables(model))
    new, found = folded.fold(model, variables)
    assert found.keys() == {"params"} and found["params"].keys() == {"base"}
    old = flatten_dict(variables["params"]["base"])
    for path, value in flatten_dict(found["params"]["base"]).items():
        assert value.dtype == np.float32
        assert not any("norm" in name for name in path if path[0] == "backbone")
        if path[0] != "backbone":
            assert value is old[path]  # shared
    size = sum(x.nbytes for x in jax.tree.leaves(found))
    shapes = jax.eval_shape(
        lambda: new.init(jax.random.key(0), np.zeros((1, 32, 32, 3)))
    )
    assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, shapes)
    assert folded.fold(new, found) == (new, found)  # once is enough
    assert size < 1.1 * sum(x.nbytes for x in jax.tree.leaves(variables))
    half = small.create("qcs", dtype=jnp.bfloat16)
    assert folded.fold(half, variables) == (half, variables)
