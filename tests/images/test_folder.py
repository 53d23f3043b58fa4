"""Which files of a folder are images, and of which class."""

import numpy as np
import pytest

from qcs_jax.images import folder as folders
from qcs_jax.system.errors import UserError

NAMES = ("sad", "glad", "calm")


@pytest.fixture
def root(tmp_path):
    """Two images of "sad", one of "glad", none of "calm", and what is no image."""
    for name in (
        "sad/b.jpg",
        "sad/a.JFIF",
        "sad/notes.txt",
        "sad/.hidden.jpg",
        "sad/folder.png/x.webp",
        "glad/c.png",
        "calm/notes.txt",
        ".cache/d.png",
        "top.bmp",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_names_of_images_and_classes(root):
    (root / "sad" / "gone.png").symlink_to(root / "nowhere")
    images = folders.images_in(root / "sad")
    assert [path.name for path in images] == ["a.JFIF", "b.jpg", "gone.png"]
    assert folders.images_in(str(root)) == [root / "top.bmp"]
    assert folders.images_in(root / "calm") == []
    assert folders.class_folders(root) == ["calm", "glad", "sad"]
    below = [path.removeprefix(f"{root}/") for path in folders.images_below(root)]
    sad = ["a.JFIF", "b.jpg", "gone.png", "folder.png/x.webp"]
    expected = ["top.bmp", ".cache/d.png", "glad/c.png", *(f"sad/{x}" for x in sad)]
    assert below == expected


MORE = ("angry", *NAMES)


@pytest.mark.parametrize(
    "names, every_class, expected",
    [(NAMES, True, [0, 0, 1]), (NAMES, False, [0, 0, 1]), (MORE, False, [1, 1, 2])],
)
def test_labels_follow_the_order_of_the_classes(root, names, every_class, expected):
    paths, labels = folders.labelled_images(root, names, every_class=every_class)
    assert [path.name for path in paths] == ["a.JFIF", "b.jpg", "c.png"]
    np.testing.assert_array_equal(labels, np.asarray(expected, np.int32), strict=True)


def test_folders_that_are_missing_unknown_or_empty(root):
    for folder, names, every_class, message in (
        (root, MORE, True, "lacks 'angry': .* angry, sad, glad, calm"),
        (root, NAMES[:2], True, "has unknown 'calm': .* sad, glad"),
        (root, NAMES[2:], False, "has unknown 'glad', 'sad'"),
        (root / "calm", NAMES, False, "has no images .*jfif.* one folder for each"),
        (root / "nowhere", NAMES, True, "nowhere is not a folder: it needs"),
    ):
        with pytest.raises(UserError, match=message):
            folders.labelled_images(folder, names, every_class=every_class)
