"""Eq. 10 against NumPy, and where its gradient goes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from qcs_jax.models.qcs import Outputs
from qcs_jax.train.losses import JointLoss

N, B, K = 4, 6, 5
DISTILLATIONS = ("kl", "mse")


def logits_and_labels(n=N, seed=0):
    rng = np.random.default_rng(seed)
    base, cross = (
        rng.standard_normal((m, B, K)).astype(np.float32) for m in (N if n else 1, n)
    )
    return base, cross, rng.integers(0, K, base.shape[:2]).astype(np.int32)


def outputs(base, cross):
    none = np.zeros((*base.shape[:2], 0), np.float32)
    return Outputs(base, cross, none, none[: len(cross)])


def log_softmax(x):
    x = x.astype(np.float64)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def cross_entropy(logits, labels):
    """Mean over all branches and examples, one example at a time."""
    logp = log_softmax(logits)
    losses = [-logp[i, j, labels[i, j]] for i in range(len(logits)) for j in range(B)]
    return float(np.mean(losses))


def kl(base, cross, t=1.0):
    teacher, student = log_softmax(cross / t), log_softmax(base / t)
    return t**2 * (np.exp(teacher) * (teacher - student)).sum(-1).mean()


def mse(base, cross):
    return ((base.astype(np.float64) - cross) ** 2).mean()


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
def test_eq_10(alpha):
    base, cross, labels = logits_and_labels()
    loss, terms = JointLoss(alpha)(outputs(base, cross), labels)
    expected = cross_entropy(base, labels) + alpha * cross_entropy(cross, labels)
    assert float(loss) == pytest.approx(expected / 2, rel=1e-5)
    assert terms.keys() == {"base", "cross"}
    for name, logits in {"base": base, "cross": cross}.items():
        assert terms[name].shape == (N,)
        for i in range(N):
            expected = cross_entropy(logits[i : i + 1], labels[i : i + 1])
            assert float(terms[name][i]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("distillation", ["none", *DISTILLATIONS])
def test_baseline_is_plain_cross_entropy(distillation):
    base, cross, labels = logits_and_labels(n=0)
    loss, terms = JointLoss(2.0, distillation)(outputs(base, cross), labels)
    assert float(loss) == pytest.approx(cross_entropy(base, labels), rel=1e-5)
    assert terms["cross"].shape == (0,) and "distillation" not in terms


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("distillation", DISTILLATIONS)
def test_distillation_adds_its_term(distillation, temperature):
    weight = 2.5
    base, cross, labels = logits_and_labels()
    plain, _ = JointLoss()(outputs(base, cross), labels)
    loss, terms = JointLoss(
        distillation=distillation, distillation_weight=weight, temperature=temperature
    )(outputs(base, cross), labels)
    expected = (
        kl(base, cross, temperature) if distillation == "kl" else mse(base, cross)
    )
    assert float(terms["distillation"]) == pytest.approx(expected, rel=1e-5)
    assert float(loss - plain) == pytest.approx(weight * expected, rel=1e-4, abs=1e-6)


def term(base, cross, distillation, temperature):
    """That of the distillation."""
    _, _, labels = logits_and_labels()
    loss = JointLoss(distillation=distillation, temperature=temperature)
    return loss(outputs(base, cross), labels)[1]["distillation"]


@pytest.mark.parametrize("distillation", DISTILLATIONS)
def test_the_teacher_learns_nothing_and_a_student_only_where_they_differ(distillation):
    base, cross, _ = logits_and_labels()
    gradient = jax.grad(term, (0, 1))
    student, teacher = gradient(base, cross, distillation, 3.0)
    assert not np.any(teacher) and np.abs(student).min() > 0
    student, _ = gradient(cross, cross, distillation, 3.0)
    np.testing.assert_allclose(student, 0, atol=1e-7)


@pytest.mark.parametrize("distillation", DISTILLATIONS)
def test_extreme_logits_stay_finite(distillation):
    base, cross, labels = logits_and_labels()

    def loss(base, cross):
        return JointLoss(distillation=distillation)(outputs(base, cross), labels)[0]

    value, gradients = jax.value_and_grad(loss, (0, 1))(
        jnp.asarray(1e4 * base), jnp.asarray(-1e4 * cross)
    )
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("smoothing", [0.1, 0.9])
def test_smoothed_labels_are_those_of_optax(smoothing):
    base, cross, labels = logits_and_labels()
    said = outputs(base, cross)
    loss, terms = JointLoss(label_smoothing=smoothing)(said, labels)
    soft = optax.smooth_labels(np.eye(K, dtype=np.float32)[labels], smoothing)
    for name, logits in (("base", base), ("cross", cross)):
        expected = optax.softmax_cross_entropy(logits, soft).mean(axis=1)
        np.testing.assert_allclose(terms[name], expected, rtol=1e-5)
    assert float(loss) == pytest.approx(float(np.mean([*terms.values()])), rel=1e-5)
    assert float(loss) != pytest.approx(float(JointLoss()(said, labels)[0]), rel=1e-3)
