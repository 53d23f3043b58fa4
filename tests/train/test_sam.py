"""SAM on functions whose gradient is known by heart."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from qcs_jax.train.sam import SAM, adam_with_epoch_decay, climb

# f(w) = sum_i h_i (w_i - c_i)^2 / 2, over all elements of all leaves.
CURVATURE = {"a": np.float32([[1.0, 2.0], [3.0, 0.5]]), "b": np.float32([4.0])}
CENTER = {"a": np.float32([[0.3, -1.0], [2.0, 0.0]]), "b": np.float32([1.5])}
START = {"a": np.float32([[1.0, 1.0], [-1.0, 2.0]]), "b": np.float32([0.5])}
OPTIMIZERS = {
    "sgd": lambda: optax.sgd(0.1),
    "momentum": lambda: optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: adam_with_epoch_decay(0.1, 0.9, 2),
    "adamw": lambda: optax.adamw(0.1, weight_decay=0.05),
}


def vector(tree):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


H, C, W = (vector(tree).astype(np.float64) for tree in (CURVATURE, CENTER, START))


def gradient(w):
    return jax.tree.map(lambda h, w, c: h * (w - c), CURVATURE, w, CENTER)


def grad_fn(w, carry):
    """Counts its calls in the carry, and reports where it was called."""
    return gradient(w), carry + 1, {"at": w}


def run(sam, steps, params=START):
    params = jax.tree.map(jnp.asarray, params)
    state, carry, reports = sam.init(params), 0, []
    for _ in range(steps):
        params, state, carry, report = sam.step(grad_fn, params, state, carry)
        reports.append(report)
    return params, carry, reports


def uphill(w, rho):
    g = H * (w - C)
    return w + rho * g / np.linalg.norm(g)


@pytest.mark.parametrize("rho", [0.05, 0.5, 2.0])
def test_one_step_of_sgd_in_closed_form(rho):
    params, _, (report,) = run(SAM(optax.sgd(0.1), rho), 1)
    second = H * (uphill(W, rho) - C)
    np.testing.assert_allclose(vector(params), W - 0.1 * second, rtol=1e-5)
    np.testing.assert_allclose(vector(report["pass1"]["at"]), W)
    np.testing.assert_allclose(vector(report["pass2"]["at"]), uphill(W, rho), rtol=1e-5)
    norms = [report[p]["grad_norm"] for p in ("pass1", "pass2")]
    expected = [np.linalg.norm(H * (W - C)), np.linalg.norm(second)]
    np.testing.assert_allclose(norms, expected, rtol=1e-5)


@pytest.mark.parametrize("rho", [0.05, 0.5])
def test_climbs_by_rho_along_the_gradient(rho):
    step = vector(climb(START, gradient(START), rho)) - W
    g = H * (W - C)
    assert np.linalg.norm(step) == pytest.approx(rho, rel=1e-5)
    assert step @ g / np.linalg.norm(step) == pytest.approx(np.linalg.norm(g), rel=1e-5)


def test_the_norm_is_over_all_parameters_together():
    alone = climb({"a": START["a"]}, {"a": gradient(START)["a"]}, 1.0)["a"]
    together = climb(START, gradient(START), 1.0)["a"]
    assert np.linalg.norm(together - START["a"]) < np.linalg.norm(alone - START["a"])


def test_stays_finite_where_the_gradient_is_zero():
    params, _, _ = run(SAM(optax.sgd(0.1), 0.05), 2, CENTER)
    np.testing.assert_array_equal(vector(params), vector(CENTER))


def test_climbing_keeps_the_type_of_each_parameter():
    params = {"half": jnp.ones(3, jnp.bfloat16), "single": jnp.ones(4)}
    with jax.numpy_dtype_promotion("standard"):  # for optax's norm of mixed types
        moved = climb(params, params, 0.1)
    assert {k: x.dtype for k, x in moved.items()} == {
        k: x.dtype for k, x in params.items()
    }


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rho_0_is_the_plain_optimizer_in_one_pass(name):
    params, carry, reports = run(SAM(OPTIMIZERS[name](), 0.0), 5)
    plain = jax.tree.map(jnp.asarray, START)
    optimizer = OPTIMIZERS[name]()
    state = optimizer.init(plain)
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(5):
            updates, state = optimizer.update(gradient(plain), state, plain)
            plain = optax.apply_updates(plain, updates)
    np.testing.assert_array_equal(vector(params), vector(plain))
    assert carry == 5
    assert all(report.keys() == {"pass1"} for report in reports)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizer_sees_the_second_gradient_at_the_unmoved_weights(name):
    seen = []

    def update(grads, state, params):
        seen.append((grads, params))
        return optimizer.update(grads, state, params)

    optimizer = OPTIMIZERS[name]()
    spy = optax.GradientTransformation(optimizer.init, update)
    final, _, reports = run(SAM(spy, 0.3), 3)
    assert np.isfinite(vector(final)).all()
    assert len(seen) == 3
    for (grads, params), report in zip(seen, reports, strict=True):
        np.testing.assert_array_equal(vector(params), vector(report["pass1"]["at"]))
        expected = gradient(report["pass2"]["at"])
        np.testing.assert_array_equal(vector(grads), vector(expected))


@pytest.mark.parametrize("rho,passes", [(0.0, 1), (0.05, 2)])
def test_the_carry_passes_through_every_pass(rho, passes):
    received = []

    def grad_fn(w, carry):
        received.append(carry)
        return gradient(w), (*carry, len(received)), {}

    sam = SAM(optax.sgd(0.1), rho)
    _, _, carry, _ = sam.step(grad_fn, START, sam.init(START), ())
    assert received == [(), (1,)][:passes]
    assert carry == tuple(range(1, passes + 1))


@pytest.mark.parametrize("local_climb", [False, True])
def test_reduction_over_devices(local_climb):
    """With `reduce` doubling, tells which of the gradients are the reduced ones."""

    def constant(w, carry):  # another direction than the reduced gradient
        return {"a": w["a"] * 0 + 3.0, "b": w["b"] * 0 + 4.0}, carry, {"at": w}

    def reduce(grads):
        return {"a": grads["a"] * 2.0, "b": grads["b"] * 0.0}

    start = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    sam = SAM(optax.sgd(1.0), 0.5)
    params, _, _, report = sam.step(
        constant, start, sam.init(start), 0, reduce=reduce, local_climb=local_climb
    )
    at = [0.3, 0.4] if local_climb else [0.5, 0.0]
    np.testing.assert_allclose(vector(report["pass2"]["at"]), at, rtol=1e-6)
    np.testing.assert_allclose(vector(params), [-6.0, 0.0])
    assert float(report["pass1"]["grad_norm"]) == pytest.approx(6.0)
    assert float(report["pass2"]["grad_norm"]) == pytest.approx(6.0)


def test_jitted_step_is_the_same():
    sam = SAM(OPTIMIZERS["adam"](), 0.05)
    step = jax.jit(lambda *args: sam.step(grad_fn, *args))
    params, state = START, sam.init(START)
    carry = 0
    for _ in range(3):
        params, state, carry, _ = step(params, state, carry)
    expected, expected_carry, _ = run(sam, 3)
    np.testing.assert_allclose(vector(params), vector(expected), rtol=1e-6)
    assert carry == expected_carry == 6


@pytest.mark.parametrize("decay", [0.5, 0.98, 1.0])
@pytest.mark.parametrize("steps_per_epoch", [1, 3])
def test_learning_rate_decays_once_per_epoch(steps_per_epoch, decay):
    """Adam's update for a constant gradient is the learning rate itself."""
    optimizer = adam_with_epoch_decay(1e-3, decay, steps_per_epoch)
    w = jnp.zeros(1)
    state = optimizer.init(w)
    rates = []
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(3 * steps_per_epoch + 1):
            update, state = optimizer.update(jnp.full(1, 100.0), state, w)
            rates.append(-update[0])
    expected = [1e-3 * decay ** (i // steps_per_epoch) for i in range(len(rates))]
    np.testing.assert_allclose(rates, expected, rtol=1e-4)


def test_adam_has_the_constants_of_the_paper():
    """Against Adam written out, for gradients small enough to feel epsilon."""
    optimizer = adam_with_epoch_decay(1.0, 1.0, 10)
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
