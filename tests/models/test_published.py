"""The full-size networks against numbers of the published implementation."""

import flax.traverse_util
import jax
import numpy as np
import published
import pytest

from qcs_jax import models, sam, torch_layout
from qcs_jax.losses import JointLoss
from qcs_jax.train.state import TrainState
from qcs_jax.train.step import make_train_step


@pytest.mark.parametrize("name", ["qcs", "dcs"])
def test_evaluation_and_one_step(name):
    golden = published.read(f"{name}_7")
    model = models.create(name)
    variables = published.variables(f"{name}_7")
    images, labels = published.batch(golden["seed"], 0, golden["branches"], 7)

    apply = jax.jit(model.apply)
    one_by_one = images.reshape(-1, 224, 224, 3)
    logits = apply(variables, one_by_one)
    np.testing.assert_allclose(logits, golden["eval_base_logits"], atol=2e-5)
    interact = jax.jit(lambda v, x: model.apply(v, x, method="interact"))
    both = np.concatenate(interact(variables, images))
    np.testing.assert_allclose(both, golden["eval_all_logits"], atol=2e-5)

    optimizer = sam.SAM(sam.adam_with_epoch_decay(1e-4, 1.0, 1), rho=0.05)
    step = make_train_step(
        model,
        optimizer,
        loss=JointLoss(),
        augment_fn=lambda keys, images: images,
        seed=0,
        devices=jax.devices()[:1],
    )
    state = TrainState.create(variables, optimizer)
    state, reports = step(state, {"image": images[None], "label": labels[None]})
    expected = golden["steps"][0]
    for number in ("pass1", "pass2"):
        _check_pass(reports[number], expected[number])
    state = jax.device_get(state)
    _check_arrays(state.variables, expected["after"], rtol=2e-5, atol=2e-5)
    _check_arrays(state.variables, expected["params"], rtol=0, atol=2e-6)
    logits = apply(state.variables, one_by_one)
    np.testing.assert_allclose(logits, golden["eval_base_logits_after"], atol=2e-5)


def _check_pass(report, expected):
    losses = np.concatenate([report["base"], report["cross"]])
    np.testing.assert_allclose(losses, expected["losses"], rtol=2e-5)
    np.testing.assert_allclose(report["loss"], expected["loss"], rtol=2e-5)
    np.testing.assert_allclose(report["grad_norm"], expected["grad_norm"], rtol=2e-5)


def _check_arrays(variables, expected, **tolerance):
    flat = flax.traverse_util.flatten_dict(variables, sep="/")
    for key, first in expected.items():
        path, transform = torch_layout.path_of(key)
        ours = transform.to_torch(flat[path]).reshape(-1)[: len(first)]
        np.testing.assert_allclose(ours, first, **tolerance, err_msg=key)


@pytest.mark.parametrize(
    "name, classes", [("qcs", 7), ("qcs", 8), ("dcs", 7), ("dcs", 8)]
)
def test_shapes_are_those_of_the_published_checkpoints(name, classes):
    model = models.create(name, num_classes=classes)
    ours = jax.eval_shape(lambda: models.init(model, jax.random.key(0)))
    ours = flax.traverse_util.flatten_dict(ours, sep="/")
    theirs = {}
    for key, shape in published.read(f"layout_{name}_{classes}").items():
        if not torch_layout.is_dead(key):
            path, transform = torch_layout.path_of(key)
            theirs[path] = transform.to_jax(np.empty(shape)).shape
    assert {path: x.shape for path, x in ours.items()} == theirs


def test_parameter_counts():
    init = jax.eval_shape(lambda: models.init(models.create("qcs"), jax.random.key(0)))
    assert models.count(init) == 66_810_513
    assert models.count({"params": init["params"]["base"]}) == 40_700_039
