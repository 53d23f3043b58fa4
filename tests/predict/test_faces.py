"""Inputs that are taken for faces."""

import io
import pathlib
import re
import zipfile

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


def names(items, folder):
    return [str(pathlib.Path(path).relative_to(folder)) for path in items]


@pytest.mark.parametrize(
    "pattern,expected",
    [
        ("*", ["a.JPG", "b.png", "notes.txt"]),
        ("[ab].*", ["a.JPG", "b.png"]),
        ("**/?.*", ["a.JPG", "b.png", "sub/c.webp"]),
        ("", ["a.JPG", "b.png", "sub/c.webp"]),  # a folder: the images below it
    ],
)
def test_a_pattern_or_folder_is_its_files_sorted(folder, pattern, expected):
    items, single = faces.expand(f"{folder}/{pattern}")
    assert names(items, folder) == expected and not single


def test_names_like_patterns_and_urls(folder):
    path = folder / "b[1].png"
    (folder / "b.png").rename(path)
    for name in (path, str(path), "https://host/a.jpg?size=[3]"):
        items, single = faces.expand(name)
        assert list(items) == list(faces.expand([name])[0]) == [name] and single


def test_a_pattern_or_folder_without_images_is_an_error_among_others_a_failure(folder):
    with pytest.raises(UserError, match="no file matches"):
        faces.expand(f"{folder}/*.jpg")
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="no .jpg, .jpeg, .*, .webp in this"):
        faces.expand(folder / "empty")
    mixed = [f"{folder}/*.jpg", folder / "b.png", str(folder / "sub"), folder]
    items, single = faces.expand(mixed)
    first, *others = items
    assert (first.path, first.error) == (mixed[0], "no file matches") and not single
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
        (np.zeros((3, 4, 5), np.uint8), r"uint8\[3, 4, 5\] is not a face"),
        (np.zeros((0, 4, 3), np.uint8), "is not a face"),
        (None, "a NoneType is not a face"),
        ("nowhere.jpg", "No such file"),
        ("https://host/a.jpg?size=3", "URL, .* download it first, .* or its bytes"),
        (pathlib.Path("s3://bucket/a.png"), "this is a URL"),
        ("null\0byte", "null"),
        (Image.new("RGB", (4, 0)), "4 x 0 pixels shows nothing"),
    ],
)
def test_an_input_that_is_no_face_is_named(face, why):
    with pytest.raises(UserError, match=why):
        faces.read(face)


def test_damaged_files_and_lazy_images_say_so(tmp_path):
    path = tmp_path / "cut.png"
    path.write_bytes(small.encode(Image.effect_noise((64, 64), 90))[:900])
    with pytest.raises(UserError):
        faces.read(path)
    Image.new("RGB", (16, 16)).save(path, "ICNS")
    path.write_bytes(path.read_bytes().replace(b"IHDR", b"I'DR"))
    with Image.open(path) as lazy:  # Pillow raises a SyntaxError
        with pytest.raises(UserError, match="cannot be decoded .*broken PNG"):
            faces.read(lazy)


PIXELS = [small.pixels(5, 4, 3, seed=seed) for seed in range(3)]
ENCODED = [small.encode(Image.fromarray(pixels)) for pixels in PIXELS]


def assert_pixels(items, expected):
    for face, pixels in zip(items, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(faces.read(face)), pixels)


def test_arrays_and_encoded_images_are_images():
    for shape in ((5, 4), (5, 4, 3), (5, 4, 4), (1, 1, 3)):
        assert_pixels([small.pixels(*shape)], [small.pixels(*shape)])
    for kind in (kind(ENCODED[0]) for kind in (bytes, bytearray, memoryview)):
        assert_pixels(faces.expand(kind)[0], PIXELS[:1])
        assert_pixels(faces.expand([kind, kind])[0], PIXELS[:1] * 2)


def test_open_files_are_read_from_where_they_stand(tmp_path):
    (tmp_path / "a").write_bytes(b"head" + ENCODED[0])
    memory = io.BytesIO(b"head" + ENCODED[0])
    with open(tmp_path / "a", "rb") as buffered:
        for file in (buffered, memory):
            for given, alone in ((file, True), ([file], False)):
                file.seek(4)
                items, single = faces.expand(given)
                assert_pixels(items, PIXELS[:1])
                assert single == alone and not file.closed


def test_members_of_archives_may_close_after_another():
    def members():
        for name in archive.namelist():
            with archive.open(name) as file:
                yield file

    with zipfile.ZipFile(io.BytesIO(), "w") as archive:
        for i, data in enumerate(ENCODED):
            archive.writestr(f"{i}.png", data)
        assert_pixels(list(faces.expand(members())[0]), PIXELS)


def test_what_cannot_be_read_from_an_open_file_is_a_failure(tmp_path):
    (tmp_path / "a.png").write_bytes(ENCODED[0])
    closed, over = io.BytesIO(ENCODED[0]), io.BytesIO(ENCODED[0])
    closed.close()
    over.read()
    with open(tmp_path / "a.png") as text, open(tmp_path / "b", "wb") as written:
        wrong = [closed, over, text, io.StringIO("x"), written]
        failures = list(faces.expand(wrong)[0])
        assert [next(faces.expand(file)[0]) for file in wrong] == failures
    whys = ("closed file", "seek", "text: .*rb", "text: .*rb", "cannot be read")
    for failure, why in zip(failures, whys, strict=True):
        assert re.search(why, failure.error) and failure.path is None
