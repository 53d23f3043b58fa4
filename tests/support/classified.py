"""Pictures, and what a classifier has to answer about them."""

import jax
import jax.numpy as jnp
import numpy as np
import small
from PIL import Image

from qcs_jax.images import augment
from qcs_jax.images.decode import to_pixels


def picture(seed, height=60, width=50, channels=3):
    """Smooth colours, so that resizing keeps pictures apart."""
    return np.asarray(
        Image.fromarray(small.pixels(3, 3, channels, seed=seed)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
    )


def expected(classifier, pixels):
    """Probabilities as training's own functions give them."""
    square = to_pixels(Image.fromarray(pixels), 52)
    ready = augment.preprocess(jnp.asarray(square)[None], classifier.image_size)
    return np.asarray(jax.nn.softmax(classifier.logits(ready)))[0]


def assert_same(answers, probabilities):
    assert len(answers) == len(probabilities)
    for answer, p in zip(answers, probabilities, strict=True):
        np.testing.assert_allclose(answer.probabilities, p, atol=2e-6)
