"""Convolutions: PyTorch's padding, and the gradient of stride two."""

import jax
import numpy as np
import pytest
import small
from jax import lax

from qcs_jax.models import convolution

x = small.images  # random numbers of any shape


@pytest.mark.parametrize("side", [6, 7])
def test_strided_convolution_pads_both_sides_alike(side):
    """PyTorch's padding, which differs from "SAME" on even sides."""
    data, kernel = x(1, side, side, 1), x(3, 3, 1, 1, seed=1)
    y = convolution.conv(1, 1, stride=2).apply({"params": {"kernel": kernel}}, data)
    padded = np.pad(data[0, ..., 0], 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))[::2, ::2]
    expected = (windows * kernel[..., 0, 0]).sum((2, 3))
    np.testing.assert_allclose(y[0, ..., 0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 6, 8, 3), (1, 2, 2, 1), (3, 4, 2, 5)])
def test_gradient_of_stride_two_is_the_derived_one(shape):
    def plain(data, kernel):
        layout = ("NHWC", "HWIO", "NHWC")
        padding = ((1, 1), (1, 1))
        return lax.conv_general_dilated(
            data, kernel, (2, 2), padding, dimension_numbers=layout
        )

    data, kernel = x(*shape), x(3, 3, shape[-1], 4, seed=1)
    expected, derive = jax.vjp(plain, data, kernel)
    result, gradient = jax.vjp(convolution.halve, data, kernel)
    np.testing.assert_array_equal(result, expected)
    dy = x(*result.shape, seed=2)
    for ours, theirs in zip(gradient(dy), derive(dy), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
