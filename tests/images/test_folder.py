"""Images in folders named after classes."""

import numpy as np
import pytest

from qcs_jax.images import folder
from qcs_jax.system.errors import UserError

NAMES = ("calm", "glad")


@pytest.fixture
def tree(tmp_path):
    for name in (
        "glad/b.JPG",
        "glad/a.jfif",
        "calm/c.png",
        "calm/.d.png",
        "calm/e.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / ".cache").mkdir()
    return tmp_path


def test_files_are_those_of_the_classes_in_order(tree):
    paths, labels = folder.labelled_images(tree, NAMES, every_class=True)
    assert [path.name for path in paths] == ["c.png", "a.jfif", "b.JPG"]
    np.testing.assert_array_equal(labels, [0, 1, 1])
    assert labels.dtype == np.int32


def test_the_same_files_count_everywhere(tree):
    below = [*folder.images_below(tree)]
    listed = [str(p) for name in NAMES for p in folder.images_in(tree / name)]
    assert below == listed and folder.class_folders(tree) == [*NAMES]


@pytest.mark.parametrize("every_class", [True, False])
def test_unknown_folders_are_named(tree, every_class):
    (tree / "happy").mkdir()
    with pytest.raises(UserError, match="has unknown 'happy': .* calm, glad"):
        folder.labelled_images(tree, NAMES, every_class=every_class)


def test_missing_classes_are_named_where_all_are_needed(tree):
    names = (*NAMES, "sad")
    with pytest.raises(UserError, match="lacks 'sad'"):
        folder.labelled_images(tree, names, every_class=True)
    paths, _ = folder.labelled_images(tree, names, every_class=False)
    assert len(paths) == 3
    (tree / "sad").mkdir()
    with pytest.raises(UserError, match="sad has no image"):
        folder.labelled_images(tree, names, every_class=True)


def test_nothing_at_all(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        folder.labelled_images(tmp_path / "nowhere", NAMES, every_class=False)
    with pytest.raises(UserError, match="has no images: give a folder of CLASS"):
        folder.labelled_images(tmp_path, NAMES, every_class=False)
