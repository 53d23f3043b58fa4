"""Anybody's folder: which images it has, how they are divided, and what is stored."""

import io
import os

import copies
import numpy as np
import pytest
from PIL import Image
from qcs_jax.data import integrity
from qcs_jax.data.image_folder import folder as image_folder

from qcs_jax.system.errors import UserError


@pytest.fixture
def pets(tmp_path):
    return copies.pets(tmp_path / "Pets 2")


def counts(folder):
    """Images of cats and dogs for training, and for testing."""
    return [[folder.count(split, k) for k in (0, 1)] for split in ("train", "test")]


def test_lists_images_with_labels(pets):
    for name in (".hidden.jpg", "UPPER.JPEG"):
        copies.save(pets / "train/cat" / name)
    copies.save(pets / "train/.cache/x.jpg")
    (pets / "train/cat/notes.txt").touch()
    os.mkfifo(pets / "train/cat/pipe.jpg")  # reading it would never end
    folder = image_folder.scan(pets)
    assert folder.class_names == ("cat", "dog")
    assert folder.images["train"] == (
        ("train/cat/UPPER.JPEG", 0),
        ("train/cat/a.jpg", 0),
        ("train/cat/b.jpg", 0),
        ("train/dog/a.jpg", 1),
        ("train/dog/b.jpg", 1),
    )
    assert folder.ignored == ("train/cat/notes.txt", "train/cat/pipe.jpg")
    assert counts(folder) == [[3, 2], [1, 1]]
    (pets / "train/cat/more.txt").touch()
    assert image_folder.scan(pets).fingerprint == folder.fingerprint
    copies.save(pets / "train/cat/a.jpg", size=(40, 40))
    assert image_folder.scan(pets).fingerprint != folder.fingerprint


def test_an_undivided_folder_is_divided_without_its_unreadable_images(tmp_path):
    """Or the only image for testing might be one of them."""
    root = tmp_path / "pets"
    for number in range(20):
        copies.save(root / ("cat", "dog")[number % 2] / f"{number}.jpg")
    folder = image_folder.scan(root, 0.2)
    assert counts(folder) == [[8, 8], [2, 2]]
    every = sorted(name for pairs in folder.images.values() for name, _ in pairs)
    assert every == sorted(str(x.relative_to(root)) for x in root.rglob("*.jpg"))
    assert image_folder.scan(root, 0.2).fingerprint == folder.fingerprint
    folder, other = image_folder.scan(root, 0.1), folder
    assert folder.fingerprint != other.fingerprint
    [lost] = [name for name, label in folder.images["test"] if label == 0]
    rest = folder.without([integrity.Unreadable(root / lost, "cut")])
    assert counts(rest) == [[8, 9], [1, 1]]
    assert lost not in {name for pairs in rest.images.values() for name, _ in pairs}
    assert rest.fingerprint == folder.fingerprint
    cats = sorted((root / "cat").iterdir())[:9]
    with pytest.raises(UserError, match="pets/cat has too few images, 1: a class"):
        folder.without([integrity.Unreadable(path, "cut") for path in cats])
    copies.save(root / "cat/new.jpg")
    assert image_folder.scan(root, 0.1).fingerprint != folder.fingerprint


def encoded(kind="JPEG", mode="RGB", value=(100, 50, 9), **options):
    buffer = io.BytesIO()
    Image.new(mode, (12, 16), value).save(buffer, kind, **options)
    return buffer.getvalue()


def test_what_is_stored():
    """JPEG and PNG untouched, others as PNG; 16 bits of grey scaled, not clipped."""
    for kind, mode in (("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "P")):
        data = encoded(kind, mode, value=7 if mode != "CMYK" else (1, 2, 3, 4))
        assert integrity.storable(data) is data
    for kind, options in (("BMP", {}), ("WEBP", {"lossless": True})):
        data = encoded(kind, **options)
        image = Image.open(io.BytesIO(integrity.storable(data)))
        assert image.format == "PNG"
        assert image.tobytes() == Image.open(io.BytesIO(data)).convert("RGB").tobytes()
    buffer = io.BytesIO()
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(buffer, "PNG")
    stored = np.asarray(Image.open(io.BytesIO(integrity.storable(buffer.getvalue()))))
    assert stored.dtype == np.uint8
    np.testing.assert_allclose(stored, ramp / 257, atol=1)


def test_round_trip_through_tfds(prepare, stored, pets):
    """Also of a name that is no text."""
    strange = os.fsencode(pets / "train/cat") + b"/\xff.jpg"
    os.rename(pets / "train/cat/a.jpg", strange)
    prepare("image_folder", pets)
    source, records = stored("image_folder/pets_2", "train")
    assert source.class_names == ("cat", "dog")
    named = {name: name for name, _ in image_folder.scan(pets).images["train"]}
    named[r"train/cat/\xff.jpg"] = named.pop("train/cat/\udcff.jpg")
    assert set(records) == set(named)
    for name, (label, data) in records.items():
        assert data == (pets / named[name]).read_bytes()
        assert label == (0 if "cat" in name else 1)
