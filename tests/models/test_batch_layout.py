"""One global batch on any number of devices: same numbers, extremes and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qcs_jax.models.batch_layout import BatchLayout

N, B = 4, 8  # branches, examples in the global batch
DEVICES = (1, 2, 8)


def gather(x):
    """`[devices, n * b, ...]` -> global `[n, B, ...]`."""
    x = np.asarray(x)
    x = x.reshape(len(x), N, -1, *x.shape[2:]).swapaxes(0, 1)
    return x.reshape(N, B, *x.shape[3:])


def on(devices, function, *args):
    chosen = jax.devices()[:devices]
    return jax.pmap(function, axis_name="devices", devices=chosen)(*args)


LAYOUT = BatchLayout(N, "devices")


def values():
    """Float32 `[p, B, i, j]`, no two alike."""
    rng = np.random.default_rng(0)
    x = rng.permutation(3 * B * 20).astype(np.float32) / 7
    return x.reshape(3, B, 4, 5)


def deal_values(x, devices):
    """`[p, B, ...]` -> `[devices, p, b, ...]`."""
    return np.stack(np.split(x, devices, axis=1))


def test_numbers_and_keys_belong_to_rows_not_to_devices():
    key = jax.random.key(3)

    def draw(rows, layout=LAYOUT):
        keys = layout.example_keys(key, rows)
        return layout.example_ids(rows), jax.vmap(jax.random.uniform)(keys)

    _, single = draw(N * B, BatchLayout(N))
    assert len(np.unique(single)) == N * B
    for devices in DEVICES:
        rows = N * B // devices
        ids, drawn = on(devices, lambda _, n=rows: draw(n), np.zeros(devices))
        assert ids.dtype == jnp.int32
        np.testing.assert_array_equal(gather(ids), np.arange(N * B).reshape(N, B))
        np.testing.assert_array_equal(gather(drawn).reshape(-1), single)


@pytest.mark.parametrize("devices", DEVICES)
def test_extremes_and_mean_are_global(devices):
    x = values()

    def reduce(x):
        mean = LAYOUT.mean(jnp.mean(x))
        return LAYOUT.minimum(x), LAYOUT.maximum(x), mean, LAYOUT.device_count()

    minimum, maximum, mean, count = on(devices, reduce, deal_values(x, devices))
    np.testing.assert_array_equal(BatchLayout(N).minimum(x), x.min((1, 2, 3)))
    np.testing.assert_array_equal(BatchLayout(N).maximum(x), x.max((1, 2, 3)))
    for device in range(devices):
        np.testing.assert_array_equal(minimum[device], x.min((1, 2, 3)))
        np.testing.assert_array_equal(maximum[device], x.max((1, 2, 3)))
        np.testing.assert_allclose(mean[device], x.mean(), rtol=1e-6)
        assert count[device] == devices


def test_gradient_through_the_extremes_equals_that_of_one_device():
    """Of a loss that they scale, averaged over devices."""

    def gradient(layout, x):
        def loss(weights):
            y = weights[:, None, None, None] * x
            low, high = layout.minimum(y), layout.maximum(y)[:, None, None, None]
            return jnp.sum(low * jnp.mean((high - y) ** 2, axis=(1, 2, 3)))

        return layout.mean(jax.grad(loss)(jnp.asarray([0.5, 1.5, 1.0])))

    x = values() / 10 + 1
    found = on(4, lambda shard: gradient(LAYOUT, shard), deal_values(x, 4))
    for of_device in found:
        np.testing.assert_allclose(of_device, gradient(BatchLayout(N), x), rtol=1e-5)
