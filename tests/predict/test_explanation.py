"""What the cross branch compares: the equations in NumPy, and pictures of faces."""

import io
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small
from PIL import Image
from scipy import ndimage
from scipy.special import softmax

import qcs_jax
from qcs_jax.images import augment
from qcs_jax.models import csa
from qcs_jax.models.batch_layout import BatchLayout
from qcs_jax.predict import explain_command, interaction
from qcs_jax.predict.interaction import Comparison, Interaction, on_image
from qcs_jax.system.errors import UserError

FACES = small.pixels(4, 52, 52, 3)
NORMALIZED = small.images(8, 32, 32, 3)


def create(name, **options):
    model = small.create(name, **options)
    return Interaction(model, small.variables(model))


@pytest.fixture(scope="module")
def qcs():
    return create("qcs")


@pytest.fixture(scope="module")
def first(run):
    """Of the step that is not the newest."""
    return qcs_jax.load(run, step=1)


def test_it_is_what_the_checkpoint_compares(first, run):
    anchor, *others = (small.encode(Image.fromarray(face)) for face in FACES)
    explained = first.explain(anchor, map(io.BytesIO, others))
    seen = FACES[:, 2:50, 2:50]
    np.testing.assert_array_equal(explained.anchor, seen[0])
    np.testing.assert_array_equal(explained.others, seen[1:])
    loaded = Interaction.load(run, step=1)
    small.assert_equal(loaded.variables, small.variables(loaded.model, 1))
    keys = loaded.keys(augment.preprocess(FACES, 48))[-1]
    compared = Comparison.of(keys[[0, 0, 0]], keys[1:])
    assert explained.similarities.shape == (3, 9, 9)
    np.testing.assert_allclose(explained.similarities, compared.similarities, rtol=1e-5)
    maps = np.stack([explained.anchor_maps, explained.other_maps])
    assert maps.shape == (2, 3, 48, 48)
    grid = maps[:, :, ::16, ::16].reshape(2, 3, 9)  # tokens stand at every 16th pixel
    np.testing.assert_allclose(grid, compared.importance, rtol=1e-5)


def test_it_is_drawn_a_row_for_each_face(first, tmp_path):
    faces = [Image.fromarray(small.pixels(3, 3, 3, seed=i)) for i in range(3)]
    faces = [face.resize((52, 52), Image.Resampling.BICUBIC) for face in faces]
    explained = first.explain(faces[0], faces[1:])
    explained.save(tmp_path / "x.png")
    drawn = Image.open(tmp_path / "x.png")
    side = drawn.height // 2
    assert drawn.width == 4 * side and side % 48 == 0 and side >= 192
    cells = np.asarray(drawn.resize((4 * 48, 2 * 48), Image.Resampling.BOX), float)
    cells = cells.reshape(2, 48, 4, 48, 3).swapaxes(1, 2)
    faces = np.broadcast_to(explained.anchor, (2, 48, 48, 3)), explained.others
    assert np.abs(cells[:, [0, 3]] - np.stack(faces, axis=1)).mean() < 4
    maps = explained.anchor_maps, explained.other_maps
    for column, seen, values in zip((1, 2), faces, maps, strict=True):
        # The greener, the more important; beside the green of the grey face.
        green = cells[:, column, ..., 1] - 0.4 * seen @ (0.299, 0.587, 0.114)
        assert np.corrcoef(green.ravel(), values.ravel())[0, 1] > 0.95


def test_what_cannot_be_explained(first, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="a.png: not an image"):
        first.explain(FACES[0], [FACES[1], tmp_path / "a.png"])
    with pytest.raises(UserError, match="no other face"):
        first.explain(FACES[0], [])
    with pytest.raises(UserError, match="base branch alone"):
        small.classifier().explain(FACES[0], FACES[1])
    base = small.trained()
    with pytest.raises(UserError, match="base branch alone, .* exported with --whole"):
        Interaction(base.model, base.variables)
    with pytest.raises(UserError, match="baseline has no cross branch"):
        create("baseline")


def test_the_command_compares_the_largest_faces(
    run, classifier, portrait_path, two, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    crop, empty = map(Image.fromarray, small.pixels(2, 200, 200, 3))
    crop.save("crop.png")
    empty.save("empty.png")
    pathlib.Path("linked.png").hardlink_to("crop.png")
    before = pathlib.Path("crop.png").read_bytes()
    images = str(two), str(portrait_path)
    largest, other = (classifier.predict_photo(x).faces[0].pixels for x in images)
    crops = "crop.png", "empty.png"
    for argv, faces in (([*images], (largest, other)), ([*crops, "--crops"], crops)):
        argv += "--out=x.png", f"--checkpoint={run}"
        assert explain_command.main(argv) == 0
        assert capsys.readouterr().out == "wrote x.png\n"
        classifier.explain(*faces).save("y.png")
        written = pathlib.Path("x.png").read_bytes()
        assert written == pathlib.Path("y.png").read_bytes()
    for argv, message in (
        ([images[1], "empty.png", "--out=x.png"], "empty.png: no face found"),
        ([*crops, "--out=linked.png"], "is one of the images"),
        ([*crops, "--out=x.gif"], "ends in .png or .jpg"),
    ):
        assert explain_command.main([*argv, f"--checkpoint={run}"]) == 2
        out, err = capsys.readouterr()
        assert not out and err.startswith("error: ") and message in err
        assert err.count("\n") == 1
    assert pathlib.Path("crop.png").read_bytes() == before
    assert pathlib.Path("x.png").read_bytes() == written


def test_comparison_is_equations_1_3_7_and_8():
    first, second = small.images(2, 3, 9, 5)
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
    for axis, importance in zip((1, 2), result.importance, strict=True):
        expected = (s / np.linalg.norm(s, axis=axis, keepdims=True)).sum(3 - axis) / 3
        np.testing.assert_allclose(importance, expected, rtol=1e-5)
    even = np.full((2, 9, 9), 3.5, np.float32)
    for values in Comparison(even, even, even).importance:
        np.testing.assert_allclose(values, 1, rtol=1e-6)


def test_keys_do_not_depend_on_the_other_images(qcs, monkeypatch):
    together = qcs.keys(NORMALIZED)
    assert [level.shape for level in together] == 3 * [(8, 4, 16)]
    monkeypatch.setattr(interaction, "_PASS", 5)
    mixed = [7, 6, 5, 4, 3, 2, 1, 0, 2, 2]
    for level, again in zip(together, qcs.keys(NORMALIZED[mixed]), strict=True):
        np.testing.assert_allclose(level[mixed], again, atol=1e-5)


@pytest.mark.parametrize("name", ["qcs", "dcs"])
def test_attention_is_what_csa_makes_of_the_keys(name, qcs):
    network = qcs if name == "qcs" else create(name)
    n = network.model.branches
    groups = NORMALIZED[: 2 * n].reshape(n, 2, 32, 32, 3)
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


def test_attention_of_dot_products_is_over_the_image_itself():
    network = create("dcs", interaction="sdpa")
    weights = network.attention(NORMALIZED[:2, None])
    for w, (x, y) in zip(weights, network.keys(NORMALIZED[:2]), strict=True):
        assert w.shape == (2, 1, 4)
        np.testing.assert_allclose(w.sum(axis=-1), 1, rtol=1e-5)
        # Positions of image 0 as image 1 asks for them, and the reverse.
        np.testing.assert_allclose(w[0, 0], softmax(y @ x.T / 4, 1).mean(0), atol=1e-5)
        np.testing.assert_allclose(w[1, 0], softmax(x @ y.T / 4, 1).mean(0), atol=1e-5)


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
    """Lines of pixels that a token depends on surround its place."""
    model = small.create("baseline", image_size=96)  # 6 x 6 tokens, 16 pixels apart
    variables = small.variables(model)
    row, column = 2, 3

    @jax.jit
    def tokens(x):
        _, state = model.apply(
            variables,
            x,
            mutable=["intermediates"],
            capture_intermediates=lambda module, _: module.name == "tokens",
        )
        return state["intermediates"]["base"]["tokens"]["__call__"][0]

    image, line = small.images(96, 96, 3), 9 * np.eye(96, dtype=np.float32)
    rows, columns = image + line[:, :, None, None], image + line[:, None, :, None]
    before, *after = np.asarray(tokens(np.stack([image, *rows, *columns])))
    changes = np.abs(np.stack(after) - before).max(axis=-1).reshape(2, 96, 3, 6, 6)
    for changed, place in zip(changes, (row, column), strict=True):
        for level in changed[:, :, row, column].T:
            pixels = np.flatnonzero(level > 1e-5)
            assert 0 < pixels[0] and pixels[-1] < 95  # not cut off by the border
            assert (pixels[0] + pixels[-1]) / 2 == 16 * place
