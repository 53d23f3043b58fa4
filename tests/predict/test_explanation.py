"""Explanations: of the faces of the input, in their order, by the cross branch."""

import io
import pathlib

import numpy as np
import pytest
import small
from PIL import Image

import qcs_jax
from qcs_jax.images import augment
from qcs_jax.predict import explain_command
from qcs_jax.predict.interaction import Comparison, Interaction
from qcs_jax.system.errors import UserError

FACES = small.pixels(4, 52, 52, 3)


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
    assert explained.anchor_maps.shape == explained.other_maps.shape == (3, 48, 48)
    keys = Interaction.load(run, step=1).keys(augment.preprocess(FACES, 48))[-1]
    compared = Comparison.of(keys[[0, 0, 0]], keys[1:])
    assert explained.similarities.shape == (3, 9, 9)
    np.testing.assert_allclose(explained.similarities, compared.similarities, rtol=1e-5)
    # Tokens stand at every 16th pixel.
    grid = explained.anchor_maps[:, ::16, ::16].reshape(3, 9)
    np.testing.assert_allclose(grid, compared.importance[0], rtol=1e-5)


def test_a_face_is_most_like_itself_and_maps_turn_around(first):
    forth = first.explain(FACES[0], [FACES[0], FACES[1]])
    itself, other = forth.similarities
    np.testing.assert_allclose(np.diag(itself), itself.max(), rtol=1e-3)
    assert itself.max() > other.max()
    forth, back = first.explain(*FACES[:2]), first.explain(*FACES[1::-1])
    np.testing.assert_allclose(forth.anchor_maps, back.other_maps, rtol=1e-4)


def test_it_is_drawn_a_row_for_each_face(first, tmp_path):
    faces = [Image.fromarray(small.pixels(3, 3, 3, seed=i)) for i in range(3)]
    faces = [face.resize((52, 52), Image.Resampling.BICUBIC) for face in faces]
    explained = first.explain(faces[0], faces[1:])
    explained.save(tmp_path / "x.png")
    drawn = np.asarray(Image.open(tmp_path / "x.png"), float)
    side = drawn.shape[0] // 2
    assert drawn.shape == (2 * side, 4 * side, 3) and side % 48 == 0 and side >= 192
    cells = drawn.reshape(2, side, 4, side, 3).transpose(0, 2, 1, 3, 4)
    inside = np.s_[8:-8, 8:-8]
    np.testing.assert_array_equal(cells[0, 0][inside], cells[1, 0][inside])  # anchor
    step = side // 48  # pixels that one pixel became; those at the borders are mixed
    cells = cells.reshape(2, 4, 48, step, 48, step, 3).mean(axis=(3, 5))
    for row, other in enumerate(explained.others):
        assert np.abs(cells[row, 3] - other).mean() < 4
        for column, face, values in (
            (1, explained.anchor, explained.anchor_maps[row]),
            (2, other, explained.other_maps[row]),
        ):
            # The greener, the more important; beside the green of the grey face.
            grey = face @ np.array([0.299, 0.587, 0.114])
            green = cells[row, column][..., 1] - 0.4 * grey
            assert np.corrcoef(green.ravel(), values.ravel())[0, 1] > 0.95


def test_what_cannot_be_explained(first, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="a.png: not an image"):
        first.explain(FACES[0], [FACES[1], tmp_path / "a.png"])
    with pytest.raises(UserError, match="no other face"):
        first.explain(FACES[0], [])
    with pytest.raises(UserError, match="base branch alone"):
        small.classifier().explain(FACES[0], FACES[1])


@pytest.fixture
def images(tmp_path, monkeypatch, portrait, two):
    monkeypatch.chdir(tmp_path)
    crop, empty = map(Image.fromarray, small.pixels(2, 200, 200, 3))
    crop.save("crop.png")
    empty.save("empty.png")
    portrait.save("portrait.png")
    Image.open(two).save("two.png")
    pathlib.Path("linked.png").hardlink_to("crop.png")


def test_the_command_compares_the_largest_faces(run, classifier, images, capsys):
    [largest, _], [other] = (
        classifier.predict_photo(name).faces for name in ("two.png", "portrait.png")
    )
    for argv, faces in (
        (["two.png", "portrait.png"], (largest.pixels, other.pixels)),
        (["crop.png", "empty.png", "--crops"], ("crop.png", "empty.png")),
    ):
        argv += "--out=x.png", f"--checkpoint={run}"
        assert explain_command.main(argv) == 0
        assert capsys.readouterr().out == "wrote x.png\n"
        classifier.explain(*faces).save("y.png")
        assert pathlib.Path("x.png").read_bytes() == pathlib.Path("y.png").read_bytes()


@pytest.mark.parametrize(
    "argv,message",
    [
        (["portrait.png", "empty.png", "--out=x.png"], "empty.png: no face found"),
        (["crop.png", "empty.png", "--out=linked.png"], "is one of the images"),
        (["crop.png", "empty.png", "--out=x.gif"], "ends in .png or .jpg"),
    ],
)
def test_mistakes_are_one_line(run, images, capsys, argv, message):
    before = pathlib.Path("crop.png").read_bytes()
    assert explain_command.main([*argv, f"--checkpoint={run}"]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("error: ") and message in err
    assert err.count("\n") == 1
    assert pathlib.Path("crop.png").read_bytes() == before
    assert not pathlib.Path("x.png").exists()
