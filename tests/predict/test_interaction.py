"""What the cross branch compares, against the equations written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from scipy import ndimage

from qcs_jax.checkpoint import Trained
from qcs_jax.models import csa
from qcs_jax.models.batch_layout import BatchLayout
from qcs_jax.predict import interaction
from qcs_jax.predict.interaction import Comparison, Interaction, on_image
from qcs_jax.system.errors import UserError


def create(name, **options):
    model = small.create(name, **options)
    return Interaction(model, small.variables(model))


@pytest.fixture(scope="module")
def qcs():
    return create("qcs")


@pytest.fixture(scope="module")
def images():
    return small.images(7, 32, 32, 3)


def keys(p=3, n=9, c=5, seed=0):
    return small.images(2, p, n, c, seed=seed)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def test_comparison_is_equations_1_3_7_and_8():
    first, second = keys()
    x, y = first.astype(np.float64), second.astype(np.float64)
    distance = np.linalg.norm(x[:, :, None] - y[:, None], axis=-1)
    distance = distance - distance.min()  # of all pairs together
    result = Comparison.of(first, second)
    np.testing.assert_allclose(result.distances, distance, atol=2e-5)
    similarity = distance.max() - distance
    np.testing.assert_allclose(result.similarities, similarity, atol=2e-5)
    product = np.einsum("pic,pjc->pij", x, y) / np.sqrt(x.shape[-1])
    np.testing.assert_allclose(result.products, product, atol=1e-5)
    s = result.similarities.astype(np.float64)
    importance = (s / np.linalg.norm(s, axis=1, keepdims=True)).sum(axis=2) / 3
    np.testing.assert_allclose(result.importance[0], importance, rtol=1e-5)
    importance = (s / np.linalg.norm(s, axis=2, keepdims=True)).sum(axis=1) / 3
    np.testing.assert_allclose(result.importance[1], importance, rtol=1e-5)
    even = np.full((2, 9, 9), 3.5, np.float32)
    for values in Comparison(even, even, even).importance:
        np.testing.assert_allclose(values, 1, rtol=1e-6)


def test_keys_do_not_depend_on_the_other_images(qcs, images, monkeypatch):
    together = qcs.keys(images)
    assert [level.shape for level in together] == 3 * [(7, 4, 16)]
    for level, alone in zip(together, qcs.keys(images[2:3]), strict=True):
        np.testing.assert_allclose(level[2:3], alone, atol=1e-5)
    monkeypatch.setattr(interaction, "_PASS", 3)
    for level, backwards in zip(together, qcs.keys(images[::-1]), strict=True):
        np.testing.assert_allclose(level, backwards[::-1], atol=1e-5)


@pytest.mark.parametrize("name", ["qcs", "dcs"])
def test_attention_is_what_csa_makes_of_the_keys(name, images, request):
    network = request.getfixturevalue("qcs") if name == "qcs" else create(name)
    n = network.model.branches
    groups = images[np.arange(2 * n) % 7].reshape(n, 2, 32, 32, 3)
    weights = network.attention(groups)
    for i, (w, qk) in enumerate(
        zip(weights, network.keys(groups.reshape(-1, 32, 32, 3)), strict=True), start=1
    ):
        assert w.shape == (n, 2, 4)
        np.testing.assert_allclose(w.sum(axis=-1), 1, rtol=1e-5)
        theta = network.variables["params"]["cross"][f"csa{i}"].get("theta", 0.0)
        expected = csa.csa_maps(
            jnp.asarray(qk.reshape(n, 2, 4, 16)),
            BatchLayout(n),
            weight_of_d=1.0 + jnp.tanh(theta),
        )
        np.testing.assert_allclose(w, expected, atol=1e-5)


def test_attention_of_dot_products_is_over_the_image_itself(images):
    network = create("dcs", interaction="sdpa")
    weights = network.attention(images[:2, None])
    for w, (x, y) in zip(weights, network.keys(images[:2]), strict=True):
        assert w.shape == (2, 1, 4)
        np.testing.assert_allclose(w.sum(axis=-1), 1, rtol=1e-5)
        # Positions of image 0 as image 1 asks for them, and the reverse.
        np.testing.assert_allclose(w[0, 0], softmax(y @ x.T / 4).mean(0), atol=1e-5)
        np.testing.assert_allclose(w[1, 0], softmax(x @ y.T / 4).mean(0), atol=1e-5)


def test_what_compares_nothing(qcs, images):
    with pytest.raises(ValueError, match="compares 4 branches"):
        qcs.attention(images[:2, None])
    base = small.trained()
    with pytest.raises(UserError, match="base branch alone, .* exported with --whole"):
        Interaction(base.model, base.variables)
    with pytest.raises(UserError, match="baseline has no cross branch"):
        create("baseline")


def test_load_reads_the_whole_network(run):
    images, network = small.images(2, 48, 48, 3), Trained.load(run, step=1)
    loaded = Interaction.load(run, step=1)
    saved = Interaction(network.model, small.variables(network.model, 1))
    for level, expected in zip(loaded.keys(images), saved.keys(images), strict=True):
        np.testing.assert_array_equal(level, expected)


@pytest.mark.parametrize("side", [1, 3, 7])
def test_maps_are_bilinear_between_tokens(side):
    maps = small.images(2, side**2)
    places = np.mgrid[: 16 * side, : 16 * side] / 16
    spread = on_image(maps, 16 * side)
    assert spread.dtype == np.float32
    for values, tokens in zip(spread, maps.reshape(2, side, side), strict=True):
        expected = ndimage.map_coordinates(tokens, places, order=1, mode="nearest")
        np.testing.assert_allclose(values, expected, atol=1e-6)
    with pytest.raises(ValueError, match="no square grid"):
        on_image(np.ones((2, 8)), 48)


def test_tokens_look_where_maps_put_them():
    """Pixels that a token depends on, found by gradient, surround its place."""
    model = small.create("baseline", image_size=96)  # 6 x 6 tokens, 16 pixels apart
    variables = small.variables(model)
    row, column = 2, 3
    weights = small.images(16)

    def token(x, level):
        _, state = model.apply(
            variables,
            x,
            mutable=["intermediates"],
            capture_intermediates=lambda module, _: module.name == "tokens",
        )
        tokens = state["intermediates"]["base"]["tokens"]["__call__"][0]
        return (tokens[0, 36 * level + 6 * row + column] * weights).sum()

    gradients = jax.jit(
        jax.jacrev(lambda x: jnp.stack([token(x, i) for i in range(3)]))
    )
    for seen in np.abs(gradients(small.images(1, 96, 96, 3)))[:, 0].sum(-1) > 0:
        for axis, place in ((1, row), (0, column)):
            pixels = np.flatnonzero(seen.any(axis=axis))
            assert 0 < pixels[0] and pixels[-1] < 95  # not cut off by the border
            assert (pixels[0] + pixels[-1]) / 2 == 16 * place
