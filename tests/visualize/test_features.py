"""Logits and embeddings of many images."""

import numpy as np
import small

from qcs_jax.images import augment
from qcs_jax.visualize.features import Features


def test_batches_change_nothing():
    model = small.create("dcs")
    variables = small.variables(model)
    pixels = small.pixels(7, 36, 36, 3)
    features = Features(model, variables)
    logits, embeddings = features.of([pixels[:3], pixels[3:6], pixels[6:]])
    assert logits.shape == (7, model.num_classes) and embeddings.shape == (7, 16)
    expected = model.apply(variables, augment.preprocess(pixels, model.image_size))
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert set(features.variables["params"]) == {"base"}  # the cross branch is unused
