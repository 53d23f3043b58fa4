"""Which files are images, and their pixels against Pillow used by hand."""

import io
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from qcs_jax.images import decode as images
from qcs_jax.system.errors import UserError


def picture(width=9, height=7, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_resizes_as_pillow_does():
    for size, side in (((9, 7), 1), ((9, 7), 20), ((7, 7), 7)):
        image = picture(*size)
        expected = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
        decoded = images.decode(encode(image), side)
        np.testing.assert_array_equal(decoded, expected, strict=True)
        np.testing.assert_array_equal(images.to_pixels(image, side), expected)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
def test_grey_has_three_equal_channels(kind):
    row = np.linspace(0, 255, 8).astype(np.uint8)
    image = Image.fromarray(np.tile(row, (8, 1)))
    found = images.decode(encode(image, kind), 8)
    assert found.shape == (8, 8, 3)
    np.testing.assert_array_equal(found, found[..., :1].repeat(3, axis=-1))
    np.testing.assert_allclose(found[..., 0].astype(int), image, atol=4)
    grey = np.asarray(image).astype(np.uint16)  # 16 bits are scaled, not clipped
    found = images.decode(encode(Image.fromarray(grey * 256 + 7)), 8)
    np.testing.assert_array_equal(found[..., 0], grey)


@pytest.mark.parametrize(
    "mode,color",
    [
        ("1", (255, 255, 255)),
        ("LA", (90, 90, 90)),
        *((mode, (0, 0, 255)) for mode in ("P", "PA", "RGBA", "CMYK", "YCbCr", "HSV")),
    ],
)
def test_every_mode_becomes_rgb(mode, color):
    flat = Image.new("RGB", (6, 6), color)
    found = images.to_pixels(flat.convert(mode), 6)
    np.testing.assert_allclose(found.astype(int), np.asarray(flat), atol=2)


def test_transparency_is_dropped_not_blended():
    image = picture(6, 6)
    alpha = np.random.default_rng(1).integers(0, 256, (6, 6), np.uint8)
    transparent = image.copy()
    transparent.putalpha(Image.fromarray(alpha))
    decoded = images.decode(encode(transparent), 6)
    np.testing.assert_array_equal(decoded, np.asarray(image))
    image = image.quantize(16)
    data = encode(image, transparency=bytes(range(0, 256, 16)))
    np.testing.assert_array_equal(images.decode(data, 6), images.to_pixels(image, 6))


# https://exiftool.org/TagNames/EXIF.html, tag 0x0112: how to turn the stored image.
UPRIGHT = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
    8: lambda x: np.rot90(x, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_turned_photograph_is_set_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.asarray(picture(8, 8)) // 8 + 100
    expected = UPRIGHT[orientation](stored)
    data = encode(Image.fromarray(stored), "PNG", exif=exif)
    np.testing.assert_array_equal(images.decode(data, 8), expected)
    image = picture(9, 5)  # turned before it is resized, and left as it is
    image.getexif()[0x0112] = orientation
    turned = Image.fromarray(UPRIGHT[orientation](np.asarray(image)))
    np.testing.assert_array_equal(
        images.to_pixels(image, 4), images.to_pixels(turned, 4)
    )
    assert image.size == (9, 5)


def test_damaged_exif_spoils_nothing(monkeypatch):
    """Pillow raises SyntaxError, struct.error and others for it."""
    image = picture()
    expected = images.to_pixels(image, 4)
    damaged = mock.Mock(side_effect=SyntaxError("not a TIFF file"))
    monkeypatch.setattr(Image.Image, "getexif", damaged)
    np.testing.assert_array_equal(images.to_pixels(image, 4), expected)
    assert damaged.called


@pytest.mark.parametrize("block", [1, 4, 16])
def test_a_huge_jpeg_is_reduced_within_a_grey_level(block):
    """Blocks of noise are the worst case: sharp edges at every scale."""
    noise = np.random.default_rng(0).integers(0, 256, (100, 120, 3), np.uint8)
    side = 24
    image = Image.fromarray(noise.repeat(block, 0).repeat(block, 1))
    image = image.resize((960, 800), Image.Resampling.NEAREST)
    data = encode(image, "JPEG", quality=92)
    assert images.read(io.BytesIO(data)).size == (960, 800)
    assert images.read(io.BytesIO(data), side).size == (240, 200)
    whole = images.to_pixels(Image.open(io.BytesIO(data)), side).astype(int)
    assert np.abs(images.decode(data, side) - whole).max() <= 1
    data = encode(Image.new("RGB", (960, 804)), "JPEG")  # halves would be uneven
    assert images.read(io.BytesIO(data), 8).size == (960, 804)


@pytest.mark.filterwarnings("ignore")  # of metadata, or of a huge size
def test_whatever_pillow_raises_is_one_kind_of_error():
    rng, failed = np.random.default_rng(0), 0
    for kind in ("PNG", "JPEG", "GIF", "BMP", "PPM", "WEBP"):
        data = encode(picture(40, 30), kind)
        for _ in range(100):
            damaged = np.frombuffer(data, np.uint8).copy()
            where = rng.integers(0, len(data) // 3, 4)
            damaged[where] = rng.integers(0, 256, 4)
            try:
                images.decode(damaged.tobytes(), 4)
            except OSError:
                failed += 1
    assert failed > 100
    jpeg = encode(picture(64, 64), "JPEG")
    for data in (b"", b"not an image", jpeg[: len(jpeg) // 2], jpeg[:20]):
        with pytest.raises(OSError):
            images.decode(data, 8)
    with pytest.raises(OSError, match="cannot be made RGB"):
        images.to_pixels(Image.new("La", (8, 8)), 4)
    huge = Image.new("1", (20_000, 20_000))  # 400 million pixels in a file of 50 kB
    with pytest.raises(OSError, match="^too large: Image size .400000000 pixels"):
        images.decode(encode(huge), 8)


NAMES = ("sad", "glad", "calm")
MORE = ("angry", *NAMES)


@pytest.fixture
def root(tmp_path):
    """Two images of "sad", one of "glad", none of "calm", and what is no image."""
    sad = "b.jpg a.JFIF notes.txt .hidden.jpg folder.png/x.webp".split()
    others = "glad/c.png calm/notes.txt .cache/d.png top.bmp".split()
    for name in (*others, *(f"sad/{x}" for x in sad)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_names_of_images_and_classes(root):
    (root / "sad" / "gone.png").symlink_to(root / "nowhere")
    found = images.images_in(root / "sad")
    assert [path.name for path in found] == ["a.JFIF", "b.jpg", "gone.png"]
    assert images.images_in(str(root)) == [root / "top.bmp"]
    assert images.images_in(root / "calm") == []
    assert images.class_folders(root) == ["calm", "glad", "sad"]
    below = [path.removeprefix(f"{root}/") for path in images.images_below(root)]
    sad = ["a.JFIF", "b.jpg", "gone.png", "folder.png/x.webp"]
    expected = ["top.bmp", ".cache/d.png", "glad/c.png", *(f"sad/{x}" for x in sad)]
    assert below == expected


def test_labels_follow_the_order_of_the_classes(root):
    for names, every, expected in (
        (NAMES, True, [0, 0, 1]),
        (NAMES, False, [0, 0, 1]),
        (MORE, False, [1, 1, 2]),
    ):
        paths, labels = images.labelled_images(root, names, every_class=every)
        assert [path.name for path in paths] == ["a.JFIF", "b.jpg", "c.png"]
        assert labels.dtype == np.int32 and labels.tolist() == expected
    for folder, names, every, message in (
        (root, MORE, True, "lacks 'angry': .* angry, sad, glad, calm"),
        (root, NAMES[:2], True, "has unknown 'calm': .* sad, glad"),
        (root, NAMES[2:], False, "has unknown 'glad', 'sad'"),
        (root / "calm", NAMES, False, "has no images .*jfif.* one folder for each"),
        (root / "nowhere", NAMES, True, "nowhere is not a folder: it needs"),
    ):
        with pytest.raises(UserError, match=message):
            images.labelled_images(folder, names, every_class=every)
