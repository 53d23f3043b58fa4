"""SAM on functions whose gradient is known by heart."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from qcs_jax.train.sam import SAM, adam
from qcs_jax.train.step import TrainState, TrainStep

# f(w) = sum_i h_i (w_i - c_i)^2 / 2, over all elements of all leaves.
CURVATURE = {"a": np.float32([[1.0, 2.0], [3.0, 0.5]]), "b": np.float32([4.0])}
CENTER = {"a": np.float32([[0.3, -1.0], [2.0, 0.0]]), "b": np.float32([1.5])}
START = {"a": np.float32([[1.0, 1.0], [-1.0, 2.0]]), "b": np.float32([0.5])}
OPTIMIZERS = {
    "momentum": lambda: optax.sgd(1.0, momentum=0.9, nesterov=True),
    "adam": adam,
}
RATE = np.float32(0.1)


def vector(tree):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


H, C, W = (vector(tree).astype(np.float64) for tree in (CURVATURE, CENTER, START))


def gradient(w):
    return jax.tree.map(lambda h, w, c: h * (w - c), CURVATURE, w, CENTER)


def grad_fn(w, carry, images, labels, key, number):
    """Counts its calls in the carry, and reports where it was called."""
    return gradient(w), carry + 1, {"at": w}


def run(sam, steps, params=START, carry=0, grad_fn=grad_fn):
    """Parameters, carry and reports after steps of this function, for a network's."""
    step = TrainStep(
        optimizer=sam,
        seed=np.uint32([0, 0]),
        prepare=lambda seed, step, pixels: (pixels, seed, step + 1),
        gradients=(grad_fn, grad_fn),
        climb=sam.climb,
        update=sam.update,
    )
    reports = []
    params = jax.tree.map(jnp.asarray, params)
    state = TrainState(0, params, carry, sam.init(params))
    for _ in range(steps):
        state, report = step(state, {"image": None, "label": None}, RATE)
        reports.append(report)
    return state.params, state.batch_stats, reports


def uphill(w, rho):
    g = H * (w - C)
    return w + rho * g / np.linalg.norm(g)


@pytest.mark.parametrize("rho", [0.05, 0.5, 2.0])
def test_one_step_of_sgd_in_closed_form(rho):
    params, _, (report,) = run(SAM(optax.sgd(1.0), rho), 1)
    second = H * (uphill(W, rho) - C)
    np.testing.assert_allclose(vector(params), W - 0.1 * second, rtol=1e-5)
    np.testing.assert_allclose(vector(report["pass1"]["at"]), W)
    np.testing.assert_allclose(vector(report["pass2"]["at"]), uphill(W, rho), rtol=1e-5)


def test_stays_finite_where_the_gradient_is_zero():
    params, _, _ = run(SAM(optax.sgd(1.0), 0.05), 2, CENTER)
    np.testing.assert_array_equal(vector(params), vector(CENTER))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rho_0_is_the_plain_optimizer_in_one_pass(name):
    params, carry, reports = run(SAM(OPTIMIZERS[name](), 0.0), 5)
    plain = jax.tree.map(jnp.asarray, START)
    optimizer = OPTIMIZERS[name]()
    state = optimizer.init(plain)
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(5):
            updates, state = optimizer.update(gradient(plain), state, plain)
            updates = jax.tree.map(lambda u: RATE * u, updates)
            plain = optax.apply_updates(plain, updates)
    np.testing.assert_array_equal(vector(params), vector(plain))
    assert carry == 5
    assert all(report.keys() == {"pass1"} for report in reports)


def test_the_carry_passes_through_both_passes():
    received = []

    def grad_fn(w, carry, images, labels, key, number):
        received.append((carry, int(number)))
        return gradient(w), (*carry, len(received)), {}

    _, carry, _ = run(SAM(optax.sgd(1.0), 0.05), 1, carry=(), grad_fn=grad_fn)
    assert received == [((), 0), ((1,), 1)] and carry == (1, 2)


def test_adam_has_the_constants_of_the_paper():
    """Against Adam written out, for gradients small enough to feel epsilon."""
    optimizer = adam()
    w = jnp.zeros(1)
    state = optimizer.init(w)
    m = v = 0.0
    for t, g in enumerate((3e-8, -1e-8, 2e-8), 1):
        with jax.numpy_dtype_promotion("standard"):
            update, state = optimizer.update(jnp.full(1, g), state, w)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        root = np.sqrt(v / (1 - 0.999**t))
        expected = -(m / (1 - 0.9**t)) / (root + 1e-8)
        np.testing.assert_allclose(update, [expected], rtol=1e-3)
