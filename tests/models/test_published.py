"""The full-size networks against numbers of the published implementation.

In float32, as they are used, and in float64, as the numbers were computed. Adam's first
step is the sign of the gradient, so that a rounding error turns weights whose gradient
is almost zero by the whole learning rate. What the network says after the step is
therefore compared tightly in float64 alone: in exact arithmetic, too, the logits move
by 1.4e-4 if only the initial weights and images are rounded to float32 (DCS).
"""

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import published
import pytest
from jax import lax

from qcs_jax import models
from qcs_jax.models import torch_layout
from qcs_jax.train import sam
from qcs_jax.train.losses import JointLoss
from qcs_jax.train.step import TrainState, make_train_step


@pytest.mark.full_size
@pytest.mark.parametrize("name", ["qcs", "dcs"])
def test_float32(name):
    _check(name, np.float32, losses=2e-5, statistics=2e-5, params=2e-6, logits=1e-3)


@pytest.mark.full_size
@pytest.mark.parametrize("name", ["qcs", "dcs"])
def test_float64(name, monkeypatch):
    monkeypatch.setattr(lax, "conv_general_dilated", _conv_of_products)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        _check(
            name, np.float64, losses=1e-12, statistics=1e-12, params=1e-9, logits=2e-6
        )


def _check(name, dtype, *, losses, statistics, params, logits):
    """Logits, one step of SAM and Adam, logits again; tolerances are of the step."""
    golden = published.read(f"{name}_7")
    model = models.create(name, dtype=dtype)
    variables = published.variables(f"{name}_7", dtype)
    images, labels = published.batch(golden["seed"], 0, golden["branches"], 7, dtype)
    apply = jax.jit(model.apply)
    if dtype == np.float32:
        before = apply(variables, _one_by_one(images))
        np.testing.assert_allclose(before, golden["eval_base_logits"], atol=2e-5)
        interact = jax.jit(lambda v, x: model.apply(v, x, method="interact"))
        both = np.concatenate(interact(variables, images))
        np.testing.assert_allclose(both, golden["eval_all_logits"], atol=2e-5)
    optimizer = sam.SAM(sam.adam(), rho=0.05)
    step = make_train_step(
        model,
        optimizer,
        loss=JointLoss(),
        augment_fn=lambda keys, images: images,
        seed=0,
        devices=jax.devices()[:1],
    )
    state = TrainState.create(variables, optimizer)
    batch = {"image": images[None], "label": labels[None]}
    state, reports = step(state, batch, 1e-4)
    expected = golden["steps"][0]
    for number in ("pass1", "pass2"):
        _check_pass(reports[number], expected[number], losses)
    state = jax.device_get(state)
    _check_arrays(state.variables, expected["after"], rtol=statistics, atol=statistics)
    _check_arrays(state.variables, expected["params"], rtol=0, atol=params)
    after = apply(state.variables, _one_by_one(images))
    assert after.dtype == dtype
    np.testing.assert_allclose(after, golden["eval_base_logits_after"], atol=logits)


def _one_by_one(images):
    return images.reshape(-1, 224, 224, 3)


def _conv_of_products(x, kernel, strides, padding, **options):
    """Convolution as a sum of matrix products: XLA has no fast one of float64."""
    assert options["feature_group_count"] == 1
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    s, t = strides
    rows = (x.shape[1] - kernel.shape[0]) // s * s + 1
    columns = (x.shape[2] - kernel.shape[1]) // t * t + 1
    return sum(
        x[:, i : i + rows : s, j : j + columns : t] @ kernel[i, j]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    )


def _check_pass(report, expected, rtol):
    losses = np.concatenate([report["base"], report["cross"]])
    np.testing.assert_allclose(losses, expected["losses"], rtol=rtol)
    np.testing.assert_allclose(report["loss"], expected["loss"], rtol=rtol)
    np.testing.assert_allclose(report["grad_norm"], expected["grad_norm"], rtol=rtol)


def _check_arrays(variables, expected, **tolerance):
    flat = flax.traverse_util.flatten_dict(variables, sep="/")
    for key, first in expected.items():
        path, transform = torch_layout.path_of(key)
        ours = transform.to_torch(flat[path]).reshape(-1)[: len(first)]
        np.testing.assert_allclose(ours, first, **tolerance, err_msg=key)
