"""What may be given as faces."""

import pathlib

import numpy as np
import pytest
import small
from PIL import Image

from qcs_jax.predict import faces
from qcs_jax.system.errors import UserError


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.JPG", "sub/c.webp", "notes.txt", ".hidden.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(small.encode(Image.new("RGB", (2, 2))))
    return tmp_path


def names(found, folder):
    return [str(pathlib.Path(path).relative_to(folder)) for path in found]


@pytest.mark.parametrize(
    "pattern,expected",
    [
        ("*.png", ["b.png"]),
        ("*", ["a.JPG", "b.png", "notes.txt"]),
        ("[ab].*", ["a.JPG", "b.png"]),
        ("**/?.*", ["a.JPG", "b.png", "sub/c.webp"]),
    ],
)
def test_a_pattern_is_its_files_sorted(folder, pattern, expected):
    found, one = faces.expand(f"{folder}/{pattern}")
    assert names(found, folder) == expected and not one


def test_a_folder_is_the_images_below_it(folder):
    for path in (folder, str(folder)):
        found, one = faces.expand(path)
        assert names(found, folder) == ["a.JPG", "b.png", "sub/c.webp"] and not one


def test_a_file_named_like_a_pattern_is_a_file(folder):
    path = folder / "b[1].png"
    (folder / "b.png").rename(path)
    for given in (path, str(path)):
        found, one = faces.expand(given)
        assert list(found) == [given] and one


def test_nothing_found_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no file matches"):
        faces.expand(f"{tmp_path}/*.jpg")
    with pytest.raises(UserError, match="no .jpg, .jpeg, .*, .webp in this"):
        faces.expand(tmp_path)


def test_among_others_nothing_found_is_a_failure_in_its_place(folder):
    given = [f"{folder}/*.jpg", folder / "b.png", str(folder / "sub"), folder]
    found, one = faces.expand(given)
    first, *others = found
    assert (first.path, first.error) == (given[0], "no file matches") and not one
    expected = ["b.png", "sub/c.webp", "a.JPG", "b.png", "sub/c.webp"]
    assert names(others, folder) == expected


def test_one_or_many():
    array = np.zeros((2, 4, 4, 3), np.uint8)
    for one in ("a.jpg", pathlib.Path("a"), Image.new("L", (1, 1)), array[0], b"x", 3):
        assert faces.expand(one)[1]
    for many in (array, [array[0]], ("a",), iter(()), []):
        assert not faces.expand(many)[1]


@pytest.mark.parametrize(
    "face,why",
    [
        (np.zeros((4, 4, 3), np.float32), r"float32\[4, 4, 3\] .*uint8.*logits"),
        (np.zeros((4, 4, 3), np.uint16), "uint16"),
        (np.zeros((4, 4), bool), "bool"),
        (np.zeros((3, 4, 5), np.uint8), r"uint8\[3, 4, 5\] is not a face"),
        (np.zeros((0, 4, 3), np.uint8), "is not a face"),
        (np.zeros((1, 4, 4, 3), np.uint8), "is not a face"),
        (np.zeros((4,), np.uint8), "is not a face"),
        (b"\xff\xd8", "a bytes is not a face: give a path"),
        (None, "a NoneType is not a face"),
        ("nowhere.jpg", "No such file"),
        ("null\0byte", "null"),
    ],
)
def test_what_is_no_face_says_so(face, why):
    with pytest.raises(UserError, match=why):
        faces.read(face)


def test_damaged_files_and_lazy_images_say_so(tmp_path):
    path = tmp_path / "cut.png"
    path.write_bytes(small.encode(Image.effect_noise((64, 64), 90))[:900])
    with pytest.raises(UserError):
        faces.read(path)
    with Image.open(path) as lazy, pytest.raises(UserError):
        faces.read(lazy)
    path.write_text("no image")
    with pytest.raises(UserError, match="not an image of a known format"):
        faces.read(path)


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3), (5, 4, 4), (1, 1, 3)])
def test_arrays_are_images(shape):
    pixels = small.pixels(*shape)
    assert np.array_equal(np.asarray(faces.read(pixels)), pixels)
