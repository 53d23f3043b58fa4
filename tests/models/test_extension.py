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


@pytest.fixture
def networks(monkeypatch):
    """The same weights, compared by the published metric and by another."""
    monkeypatch.setitem(csa.METRICS, "manhattan", manhattan)
    models = [small.create("qcs", interaction=name) for name in ("csa", "manhattan")]
    return models, small.variables(models[0])


def test_training_attention_and_explanations_follow_the_metric(networks):
    models, variables = networks
    images = small.images(4, 2, 32, 32, 3)
    usual, other = (m.apply(variables, images, method="outputs") for m in models)
    np.testing.assert_array_equal(usual.base_logits, other.base_logits)
    assert np.abs(usual.cross_logits - other.cross_logits).max() > 1e-4
    usual, other = (Interaction(m, variables).attention(images) for m in models)
    for a, b in zip(usual, other, strict=True):
        assert np.abs(a - b).max() > 1e-4
    usual, other = (Interaction(m, variables) for m in models)
    [*_, keys] = usual.keys(small.images(2, 32, 32, 3))
    exact = np.abs(keys[:1, :, None] - keys[1:, None]).sum(axis=-1)
    compared = other.compare(keys[:1], keys[1:])
    np.testing.assert_allclose(compared.distances, exact - exact.min(), atol=1e-4)
    faces = small.pixels(3, 36, 36, 3)
    maps = [x.explain(faces[0], faces[1:]).anchor_maps for x in (usual, other)]
    assert np.abs(maps[0] - maps[1]).max() > 1e-3


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
