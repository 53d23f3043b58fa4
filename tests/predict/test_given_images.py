"""Whatever kind of image holds a face, the network sees the same pixels."""

import numpy as np
import pytest
import saved
import small
from classified import assert_same, expected, picture
from PIL import Image

import qcs_jax
from qcs_jax.images.decode import upright


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return qcs_jax.load(saved.run(tmp_path_factory.mktemp("given") / "run", 1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_mode_is_a_face(classifier, mode, tmp_path):
    if mode == "I;16":
        image = Image.fromarray(small.pixels(9, 9).astype(np.uint16) * 256)
    else:
        image = Image.fromarray(picture(1)).convert(mode)
    path = tmp_path / f"x.{'tif' if mode == 'CMYK' else 'png'}"
    image.save(path)
    rgb = np.asarray(upright(image))
    assert_same(classifier.predict([image, path]), [expected(classifier, rgb)] * 2)


def test_alpha_is_ignored(classifier):
    pixels = picture(2, channels=4)
    p = expected(classifier, pixels[..., :3])
    assert_same([classifier.predict(pixels)], [p])


def test_grey_arrays_are_grey_images(classifier):
    grey = picture(3)[..., 0]
    p = expected(classifier, np.stack([grey] * 3, axis=-1))
    assert_same([classifier.predict(grey)], [p])


def test_turned_photographs_are_set_upright(classifier, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(picture(0)).transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "turned.png", exif=exif)
    p = expected(classifier, picture(0))
    assert_same([classifier.predict(tmp_path / "turned.png")], [p])


def test_one_pixel_and_very_many(classifier, tmp_path):
    dot = picture(4, 1, 1)
    assert_same([classifier.predict(dot)], [expected(classifier, dot)])
    huge = Image.fromarray(picture(5)).resize((3200, 2400), Image.Resampling.BICUBIC)
    huge.save(tmp_path / "huge.jpg")
    with Image.open(tmp_path / "huge.jpg") as whole:
        p = expected(classifier, np.asarray(whole))
    found = classifier.predict(tmp_path / "huge.jpg").probabilities
    np.testing.assert_allclose(found, p, atol=0.02)  # reduced while decoded
