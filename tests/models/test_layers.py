"""Layers against what PyTorch defines them to be."""

import jax
import jax.numpy as jnp
import numpy as np
import small
from PIL import Image

from qcs_jax.images.augment import preprocess
from qcs_jax.models import STD, layers
from qcs_jax.models.batch_layout import BatchLayout

x = small.images  # random numbers of any shape


def test_batch_norm_equals_successive_calls_per_branch():
    """And survives a mean far from 0, whose square would take the variance's digits."""
    n, b, c = 4, 3, 5
    size = np.arange(1, n + 1, dtype=np.float32)
    data = (30 + x(n, b, 6, 6, c)) * size[:, None, None, None, None]
    layer = layers.BatchNorm(BatchLayout(n), train=True)
    merged = data.reshape(n * b, 6, 6, c)
    variables = layer.init(jax.random.key(0), merged)
    variables["params"] = {"scale": x(c, seed=1), "bias": x(c, seed=2)}
    y, new = layer.apply(variables, merged, mutable=["batch_stats"])

    mean, var = np.zeros(c), np.ones(c)
    for i, branch in enumerate(data.astype(float)):
        flat = branch.reshape(-1, c)
        normal = (branch - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5)
        expected = normal * variables["params"]["scale"] + variables["params"]["bias"]
        np.testing.assert_allclose(y[i * b : (i + 1) * b], expected, atol=2e-5)
        mean = 0.9 * mean + 0.1 * flat.mean(0)
        var = 0.9 * var + 0.1 * flat.var(0, ddof=1)
    np.testing.assert_allclose(new["batch_stats"]["mean"], mean, rtol=1e-6)
    np.testing.assert_allclose(new["batch_stats"]["var"], var, rtol=1e-6)


def test_gradient_of_batch_norm_is_that_of_its_definition():
    n, b, c = 2, 3, 4
    layer = layers.BatchNorm(BatchLayout(n), train=True)
    data, weights = x(n * b, 5, 6, c), x(n * b, 5, 6, c, seed=1)
    params = {"scale": x(c, seed=2), "bias": x(c, seed=3)}
    stats = {"mean": np.zeros(c, np.float32), "var": np.ones(c, np.float32)}

    def of_layer(data, params):
        variables = {"params": params, "batch_stats": stats}
        return jnp.sum(weights * layer.apply(variables, data, mutable=True)[0])

    def of_definition(data, params):
        xs = data.reshape(n, -1, c)
        mean, var = (f(xs, axis=1, keepdims=True) for f in (jnp.mean, jnp.var))
        normal = ((xs - mean) / jnp.sqrt(var + 1e-5)).reshape(data.shape)
        scale, bias = (params[k][None, None, None] for k in ("scale", "bias"))
        return jnp.sum(weights * (normal * scale + bias))

    gradient = jax.grad(of_layer, argnums=(0, 1))(data, params)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        wide = jax.tree.map(np.float64, (data, params))
        expected = jax.grad(of_definition, argnums=(0, 1))(*wide)
    for ours, theirs in zip(*map(jax.tree.leaves, (gradient, expected)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)


def test_batch_norm_survives_a_large_mean():
    layer = layers.BatchNorm(BatchLayout(), train=True)
    data = 1000 + x(4, 8, 8, 2)
    y, _ = layer.init_with_output(jax.random.key(0), data)
    np.testing.assert_allclose(np.std(y, axis=(0, 1, 2)), 1, rtol=1e-3)


def test_prelu_and_its_gradient():
    data, slope, weights = x(2, 3, 3, 4), x(4, seed=1), x(2, 3, 3, 4, seed=2)

    def prelu(data, slope):
        return layers.PReLU().apply({"params": {"slope": slope}}, data)

    y, backward = jax.vjp(prelu, data, slope)
    np.testing.assert_allclose(y, np.maximum(data, 0) + slope * np.minimum(data, 0))
    of_data, of_slope = backward(weights)
    expected = weights * np.where(data > 0, 1, slope)
    np.testing.assert_allclose(of_data, expected, rtol=1e-6)
    expected = (weights * np.minimum(data, 0)).sum(axis=(0, 1, 2))
    np.testing.assert_allclose(of_slope, expected, rtol=1e-5)


def test_dropout_keeps_the_expectation_with_a_mask_for_each_example():
    def drop(data, train=True):
        layer = layers.Dropout(0.3, BatchLayout(), train)
        return np.asarray(layer.apply({}, data, rngs={"dropout": jax.random.key(0)}))

    dropped = drop(np.ones((8, 5000), np.float32))
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs((dropped == 0).mean() - 0.3) < 0.01
    assert len(np.unique(dropped, axis=0)) == 8
    data = x(2, 3)
    np.testing.assert_array_equal(drop(data, train=False), data)


def test_initial_values_are_pytorchs_defaults():
    layer = layers.dense(64, 256)
    params = layer.init(jax.random.key(0), np.zeros((1, 64), np.float32))["params"]
    bound = 64**-0.5
    for array in params.values():
        assert np.abs(array).max() <= bound
        np.testing.assert_allclose(np.std(array), bound / 3**0.5, rtol=0.2)


def test_grey_is_pillows_and_a_grey_network_does_not_see_colour():
    colour = small.pixels(32, 32, 3)
    grey = np.asarray(Image.fromarray(colour).convert("L").convert("RGB"))
    ours = layers.grey(preprocess(jnp.asarray(colour[None]), 32))
    pillows = preprocess(jnp.asarray(grey[None]), 32)
    step = 1 / (255 * min(STD))  # of one level
    np.testing.assert_allclose(ours, pillows, atol=0.51 * step)

    plain = small.create("baseline")
    variables, apply = small.variables(plain), jax.jit(plain.clone(grey=True).apply)
    images = jnp.asarray(small.images(2, 32, 32, 3))
    logits, seen = apply(variables, images), jax.jit(plain.apply)
    np.testing.assert_allclose(logits, apply(variables, layers.grey(images)), atol=1e-4)
    np.testing.assert_allclose(logits, seen(variables, layers.grey(images)), atol=1e-4)
    assert np.abs(logits - seen(variables, images)).max() > 1e-2
