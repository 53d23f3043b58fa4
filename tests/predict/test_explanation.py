"""Explanations: of the faces that were given, in their order, by the cross branch."""

import io

import numpy as np
import pytest
import saved
import small
from PIL import Image

import qcs_jax
from qcs_jax.images import augment
from qcs_jax.predict.interaction import Comparison, Interaction
from qcs_jax.system.errors import UserError

FACES = small.pixels(4, 52, 52, 3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return saved.run(tmp_path_factory.mktemp("explanation") / "run", 1, 2)


@pytest.fixture(scope="module")
def classifier(run):
    return qcs_jax.load(run, step=1)


@pytest.fixture(scope="module")
def explained(classifier):
    return classifier.explain(FACES[0], FACES[1:])


def test_shapes_and_what_the_network_saw(explained, classifier):
    s = classifier.image_size
    np.testing.assert_array_equal(explained.anchor, FACES[0, 2 : 2 + s, 2 : 2 + s])
    np.testing.assert_array_equal(explained.others, FACES[1:, 2 : 2 + s, 2 : 2 + s])
    assert explained.anchor_maps.shape == explained.other_maps.shape == (3, s, s)
    assert explained.similarities.shape == (3, 9, 9)


def test_it_is_what_the_checkpoint_compares(explained, run):
    """Of the step that was loaded, which is not the newest."""
    interaction = Interaction.load(run, step=1)
    ready = augment.preprocess(FACES, 48)
    keys = interaction.keys(ready)[-1]
    compared = Comparison.of(keys[[0, 0, 0]], keys[1:])
    np.testing.assert_allclose(explained.similarities, compared.similarities, rtol=1e-5)
    # Tokens stand at every 16th pixel.
    grid = explained.anchor_maps[:, ::16, ::16].reshape(3, 9)
    np.testing.assert_allclose(grid, compared.importance[0], rtol=1e-5)


def test_open_files_are_explained(classifier, explained):
    anchor, *others = (small.encode(Image.fromarray(face)) for face in FACES)
    again = classifier.explain(io.BytesIO(anchor), map(io.BytesIO, others))
    np.testing.assert_array_equal(again.anchor_maps, explained.anchor_maps)


def test_a_face_is_most_like_itself(classifier):
    explained = classifier.explain(FACES[0], [FACES[0], FACES[1]])
    itself, other = explained.similarities
    np.testing.assert_allclose(np.diag(itself), itself.max(), rtol=1e-3)
    assert itself.max() > other.max()


def test_maps_turn_around_with_the_question(classifier):
    forth = classifier.explain(FACES[0], FACES[1])
    back = classifier.explain(FACES[1], FACES[0])
    np.testing.assert_allclose(forth.anchor_maps, back.other_maps, rtol=1e-4)


def test_it_is_drawn_a_row_for_each_face(classifier, tmp_path):
    faces = [Image.fromarray(small.pixels(3, 3, 3, seed=i)) for i in range(3)]
    faces = [face.resize((52, 52), Image.Resampling.BICUBIC) for face in faces]
    explained = classifier.explain(faces[0], faces[1:])
    explained.save(tmp_path / "x.png")
    drawn = np.asarray(Image.open(tmp_path / "x.png"), float)
    side = drawn.shape[0] // 2
    assert drawn.shape == (2 * side, 4 * side, 3) and side % 48 == 0 and side >= 192
    cells = drawn.reshape(2, side, 4, side, 3).transpose(0, 2, 1, 3, 4)
    inside = np.s_[8:-8, 8:-8]
    np.testing.assert_array_equal(cells[0, 0][inside], cells[1, 0][inside])  # anchor
    step = side // 48  # pixels that one pixel became; those at the borders are mixed
    for row, other in enumerate(explained.others):
        averaged = cells[row, 3].reshape(48, step, 48, step, 3).mean(axis=(1, 3))
        assert np.abs(averaged - other).mean() < 4
        over = ((1, explained.anchor, explained.anchor_maps[row]),)
        over += ((2, other, explained.other_maps[row]),)
        for column, face, values in over:
            # The greener, the more important; beside the green of the grey face.
            cell = cells[row, column].reshape(48, step, 48, step, 3).mean(axis=(1, 3))
            green = cell[..., 1] - 0.4 * (face @ np.array([0.299, 0.587, 0.114]))
            assert np.corrcoef(green.ravel(), values.ravel())[0, 1] > 0.95


def test_what_cannot_be_explained(classifier, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="a.png: not an image"):
        classifier.explain(FACES[0], [FACES[1], tmp_path / "a.png"])
    with pytest.raises(UserError, match="no other face"):
        classifier.explain(FACES[0], [])
    bare = qcs_jax.Classifier(
        classifier.model, classifier.variables, classifier.class_names, 52
    )
    with pytest.raises(UserError, match="base branch alone"):
        bare.explain(FACES[0], FACES[1])
