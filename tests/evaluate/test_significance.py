"""Corrections of p-values, against numbers worked out by hand."""

import pytest

from qcs_jax.evaluate.significance import holm


@pytest.mark.parametrize(
    "p, corrected",
    [
        ([0.01], [0.01]),
        ([0.04, 0.01, 0.03], [0.06, 0.03, 0.06]),
        ([0.9, 0.8], [1.0, 1.0]),
        ([0.5, 0.001, 0.02, 0.3], [0.6, 0.004, 0.06, 0.6]),
    ],
)
def test_holm(p, corrected):
    assert holm(p) == pytest.approx(corrected)
