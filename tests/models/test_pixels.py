"""Grey in the network: as Pillow's, and nothing of colour passes."""

import jax
import jax.numpy as jnp
import numpy as np
import small
from PIL import Image

from qcs_jax.images.augment import preprocess
from qcs_jax.models import pixels


def test_it_is_pillows_grey():
    colour = small.pixels(32, 32, 3)
    grey = np.asarray(Image.fromarray(colour).convert("L").convert("RGB"))
    found = pixels.grey(preprocess(jnp.asarray(colour[None]), 32))
    wanted = preprocess(jnp.asarray(grey[None]), 32)
    step = 1 / (255 * min(pixels.STD))  # of one level
    np.testing.assert_allclose(found, wanted, atol=0.51 * step)


def test_a_grey_network_does_not_see_colour():
    plain = small.create("baseline")
    variables, apply = small.variables(plain), jax.jit(plain.clone(grey=True).apply)
    images = jnp.asarray(small.images(2, 32, 32, 3))
    found = apply(variables, images)
    np.testing.assert_allclose(found, apply(variables, pixels.grey(images)), atol=1e-4)
    seen = jax.jit(plain.apply)
    wanted = seen(variables, pixels.grey(images))
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert np.abs(found - seen(variables, images)).max() > 1e-2
