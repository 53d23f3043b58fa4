"""An ablation is one function in a table; all that depends on it follows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from qcs_jax.models import csa
from qcs_jax.models.qcs import Outputs
from qcs_jax.predict.interaction import Interaction
from qcs_jax.train import losses


def manhattan(x, y):
    return jnp.abs(x[..., :, None, :] - y[..., None, :, :]).sum(axis=-1)


def test_training_attention_and_comparisons_follow_the_metric(monkeypatch):
    """Of the same weights; attention is what `interact` sows, which training runs."""
    monkeypatch.setitem(csa.METRICS, "manhattan", manhattan)
    models = [small.create("dcs", interaction=name) for name in ("csa", "manhattan")]
    variables, images = small.variables(models[0]), small.images(2, 2, 32, 32, 3)
    usual, other = (Interaction(model, variables) for model in models)
    for a, b in zip(usual.attention(images), other.attention(images), strict=True):
        assert np.abs(a - b).max() > 1e-4
    first, second, *_ = usual.keys(images.reshape(-1, 32, 32, 3))[-1]
    exact = np.abs(first[:, None] - second[None]).sum(axis=-1)
    compared = other.compare(first[None], second[None])
    np.testing.assert_allclose(compared.distances[0], exact - exact.min(), atol=1e-4)


def test_a_distillation_loss_may_read_features(monkeypatch):
    def closeness(outputs, temperature):
        gap = outputs.base_features - outputs.cross_features
        return temperature * jnp.mean(gap**2)

    monkeypatch.setitem(losses.DISTILLATION, "closeness", closeness)
    loss = losses.JointLoss(0.0, "closeness", temperature=2.0)
    outputs = Outputs(*(small.images(4, 3, 5, seed=i) for i in range(4)))
    labels = np.zeros((4, 3), np.int32)
    value, terms = loss(outputs, labels)
    expected = 2 * np.mean((outputs.base_features - outputs.cross_features) ** 2)
    assert float(terms["distillation"]) == pytest.approx(expected, rel=1e-5)
    gradient = jax.grad(lambda o: loss(o, labels)[0])(outputs)
    assert np.abs(gradient.base_features).max() > 0
    assert not np.any(gradient.cross_features) and not np.any(gradient.cross_logits)
