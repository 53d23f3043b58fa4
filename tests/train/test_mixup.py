"""Mixed pairs: of the same examples in all branches, wherever these are computed."""

import functools

import jax
import numpy as np
import pytest
import small

from qcs_jax.models.batch_layout import BatchLayout
from qcs_jax.models.qcs import Outputs
from qcs_jax.train.losses import JointLoss
from qcs_jax.train.mixup import mix

N, B, K = 2, 16, 5
KEY = jax.random.key(3)
IMAGES = small.images(N, B, 4, 4, 3)
LABELS = np.random.default_rng(0).integers(0, K, (N, B)).astype(np.int32)


def mixed(devices=1, alpha=0.4):
    layout = BatchLayout(N, "data")
    step = functools.partial(mix, layout=layout, alpha=alpha, classes=K)
    run = jax.pmap(step, "data", in_axes=(None, 1, 1), out_axes=1)
    parts = [x.reshape(N, devices, -1, *x.shape[2:]) for x in (IMAGES, LABELS)]
    images, targets = run(KEY, *parts)
    return images.reshape(IMAGES.shape), targets.reshape(N, B, K)


def test_on_any_number_of_devices():
    for one, other in zip(mixed(8), mixed(1), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_an_example_is_mixed_with_one_other_in_all_branches():
    images, targets = (np.asarray(x, np.float64) for x in mixed())
    flat, new = (x.reshape(N, B, -1).astype(np.float64) for x in (IMAGES, images))
    onehot, parts, others = np.eye(K)[LABELS], [], []
    for i in range(B):
        found = []
        for j in range(B):
            own, other = flat[:, i].ravel(), flat[:, j].ravel()
            away = own - other
            part = 1.0 if i == j else (new[:, i].ravel() - other) @ away / (away @ away)
            guess = part * flat[:, i] + (1 - part) * flat[:, j]
            if np.abs(guess - new[:, i]).max() < 1e-5 and part < 1 + 1e-5:
                found.append((j, part))
        j, part = found[-1] if len(found) == 1 else max(found, key=lambda x: x[0] != i)
        expected = part * onehot[:, i] + (1 - part) * onehot[:, j]
        np.testing.assert_allclose(targets[:, i], expected, atol=1e-5)
        parts.append(part)
        others.append(j)
    assert min(parts) >= 0.5 and 0.5 < np.mean(parts) < 1 and len(set(others)) > B / 2


def test_probabilities_of_one_class_are_its_label():
    logits, none = small.images(N, B, K), np.zeros((N, B, 0), np.float32)
    outputs = Outputs(logits, logits[:0], none, none[:0])
    loss = JointLoss(label_smoothing=0.1)
    by_label, _ = loss(outputs, LABELS)
    onehot = np.eye(K, dtype=np.float32)[LABELS]
    assert float(loss(outputs, onehot)[0]) == pytest.approx(float(by_label), rel=1e-6)
    shifted = np.roll(onehot, 1, axis=-1)
    half, _ = loss(outputs, 0.3 * onehot + 0.7 * shifted)
    other, _ = loss(outputs, np.argmax(shifted, -1).astype(np.int32))
    assert float(half) == pytest.approx(0.3 * float(by_label) + 0.7 * float(other))
