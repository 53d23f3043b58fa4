"""Random variables for a network, without compiling it."""

import flax.traverse_util
import jax
import numpy as np

from qcs_jax import models
from qcs_jax.models.qcs import QCS


def shapes(model: QCS) -> dict:
    return jax.eval_shape(lambda: models.init(model, jax.random.key(0)))


def of(model: QCS, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: rng.uniform(0.1, 1, x.shape).astype(np.float32), shapes(model)
    )


def flat(variables: dict) -> dict:
    return flax.traverse_util.flatten_dict(variables, sep="/")


def assert_equal(actual: dict, expected: dict) -> None:
    actual, expected = flat(actual), flat(expected)
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype
        np.testing.assert_array_equal(actual[name], value, err_msg=name)
