"""Cross Similarity Attention against published numbers and against its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import published
import pytest
import small

from qcs_jax.models import csa
from qcs_jax.models.batch_layout import BatchLayout
from qcs_jax.models.qcs import bilinear_pool

CASES = published.read("csa")
MAPS = {"dcs_s": (2, "s"), "qcs_s": (4, "s"), "qcs_d": (4, "d"), "qcs_sd": (4, "sd")}
ONE = BatchLayout()


def tokens(case) -> np.ndarray:
    rng = np.random.default_rng(case["seed"])
    drawn = [rng.standard_normal(case["shape"]) for _ in range(4)]
    return np.stack(drawn).astype(np.float32)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"seed{case['seed']}")
class TestPublished:
    @pytest.mark.parametrize("name", MAPS)
    def test_maps_and_gradients(self, case, name):
        n, information = MAPS[name]
        seeds = range(case["seed"] + 7, case["seed"] + 7 + n)
        draws = [np.random.default_rng(s).standard_normal for s in seeds]
        weights = np.stack([draw(case["shape"][:2]) for draw in draws])
        options = dict(
            information=information, weight_of_d=np.float32(1 + case["tanh_theta"])
        )

        @jax.jit
        def loss(x):
            maps = csa.csa_maps(x, ONE, **options)
            return jnp.sum(maps * weights.astype(np.float32)), maps

        x = tokens(case)[:n]
        (value, maps), gradient = jax.value_and_grad(loss, has_aux=True)(x)
        np.testing.assert_allclose(maps, case[name], rtol=0, atol=1e-6)
        if name not in ("dcs_s", "qcs_sd"):  # no other gradients are known
            return
        np.testing.assert_allclose(value, case[f"{name}_loss"], rtol=2e-5, atol=1e-6)
        row = case[f"{name}_grad0_row"]
        np.testing.assert_allclose(gradient[0, 0, 0], row, rtol=1e-4, atol=1e-6)
        norms = np.linalg.norm(gradient.reshape(n, -1), axis=1)
        np.testing.assert_allclose(norms, case[f"{name}_grad_norms"][:n], rtol=2e-5)

    def test_scaled_dot_product(self, case):
        of_0, of_1 = csa.sdpa_maps(tokens(case)[:2])
        np.testing.assert_allclose(of_0, case["sdpa_k1"], atol=1e-6)
        np.testing.assert_allclose(of_1, case["sdpa_q2"], atol=1e-6)

    def test_bilinear_pooling(self, case):
        pooled = bilinear_pool(*tokens(case)[:2])
        sample, total = case["bilinear_pooling_sample"], case["bilinear_pooling_sum"]
        assert list(pooled.shape) == case["bilinear_pooling_shape"]
        np.testing.assert_allclose(pooled[:, :10], sample, rtol=1e-5)
        np.testing.assert_allclose(pooled.sum(-1), total, atol=1e-3)


def test_distances_are_those_of_float64():
    x, y = small.images(3, 5, 16), small.images(3, 7, 16, seed=1)
    exact = np.linalg.norm(x[:, :, None].astype(float) - y[:, None], axis=-1)
    np.testing.assert_allclose(csa.euclidean(x, y), exact, rtol=2e-6)

    def own(x):  # of a position to itself: zero, and so is its gradient
        return jnp.diagonal(csa.euclidean(x, x), axis1=-2, axis2=-1).sum()

    value, gradient = jax.value_and_grad(own)(x)
    assert value == 0 and not np.any(gradient)


def test_gradient_is_finite_for_identical_images():
    x = np.broadcast_to(small.images(1, 2, 5, 8), (4, 2, 5, 8))

    @jax.jit
    @jax.grad
    def gradient(x):
        weights = jnp.arange(5, dtype=jnp.float32)
        return jnp.vdot(csa.csa_maps(x, ONE)[0, 0], weights)

    assert np.isfinite(gradient(x)).all()
    assert np.isfinite(gradient(np.zeros_like(x))).all()


def test_gradient_agrees_with_finite_differences():
    with jax.enable_x64(True):
        x = np.random.default_rng(0).standard_normal((4, 2, 5, 6))
        weights = np.random.default_rng(1).standard_normal((4, 2, 5))

        @jax.jit
        def loss(x):
            return jnp.sum(csa.csa_maps(x, ONE) * weights)

        gradient = jax.jit(jax.grad(loss))(x)
        for index in [(0, 0, 0, 0), (1, 1, 2, 3), (2, 0, 4, 5), (3, 1, 1, 1)]:
            step = np.zeros_like(x)
            step[index] = 1e-6
            slope = (loss(x + step) - loss(x - step)) / 2e-6
            np.testing.assert_allclose(gradient[index], slope, rtol=1e-5, atol=1e-8)


def test_sharing_a_matrix_equals_computing_it_for_each_image():
    """The definition, written once per branch, in float64."""
    x = small.images(4, 3, 5, 8)
    partners = [(1, 2), (0, 3), (3, 0), (2, 1)]

    def distance(n, m):
        return np.linalg.norm(x[n][:, :, None].astype(float) - x[m][:, None], axis=-1)

    def aggregate(matrix):
        return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).sum(-1)

    for n, (same, different) in enumerate(partners):
        d = distance(n, same)
        score = aggregate(d.max() - d)
        d = distance(n, different)
        score += 1.3 * aggregate(d - d.min())
        expected = np.exp(score) / np.exp(score).sum(-1, keepdims=True)
        ours = csa.csa_maps(x, ONE, weight_of_d=1.3)[n]
        np.testing.assert_allclose(ours, expected, rtol=1e-4)
