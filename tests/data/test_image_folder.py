"""Reading anybody's folder: what is accepted, what is refused and how it is said."""

import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from qcs_jax.data import integrity
from qcs_jax.data.image_folder import folder as image_folder

from qcs_jax.system.errors import UserError


def encoded(kind="JPEG", mode="RGB", side=12, value=100, **options):
    buffer = io.BytesIO()
    Image.new(mode, (side, side + 4), value if mode != "RGB" else (value, 50, 9)).save(
        buffer, kind, **options
    )
    return buffer.getvalue()


def put(root, path, data=None):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(encoded() if data is None else data)
    return file


@pytest.fixture
def pets(tmp_path):
    """Two classes, two training images and one test image each."""
    root = tmp_path / "Pets 2"
    for name in ("cat", "dog"):
        for place in (f"train/{name}/a", f"train/{name}/b", f"test/{name}/c"):
            put(root, f"{place}.jpg")
    return root


def test_lists_images_with_labels(pets):
    put(pets, "train/cat/.hidden.jpg")
    put(pets, "train/cat/notes.txt")
    put(pets, "train/.cache/x.jpg")
    put(pets, "train/cat/UPPER.JPEG")
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
    assert [folder.count("test", k) for k in (0, 1)] == [1, 1]
    put(pets, "train/cat/more.txt")
    assert image_folder.scan(pets).fingerprint == folder.fingerprint
    put(pets, "train/cat/a.jpg", encoded(side=40))
    assert image_folder.scan(pets).fingerprint != folder.fingerprint


@pytest.fixture
def undivided(tmp_path):
    """Two classes, ten images each, without train and test."""
    root = tmp_path / "pets"
    for name in ("cat", "dog"):
        for number in range(10):
            put(root, f"{name}/{number}.jpg")
    return root


def test_an_undivided_folder_is_divided(undivided):
    folder = image_folder.scan(undivided, 0.2)
    assert folder.class_names == ("cat", "dog")
    counts = [[folder.count(split, k) for k in (0, 1)] for split in ("train", "test")]
    assert counts == [[8, 8], [2, 2]]
    every = sorted(name for pairs in folder.images.values() for name, _ in pairs)
    files = undivided.rglob("*.jpg")
    assert every == sorted(str(path.relative_to(undivided)) for path in files)
    assert image_folder.scan(undivided, 0.2).fingerprint == folder.fingerprint
    assert image_folder.scan(undivided, 0.3).fingerprint != folder.fingerprint
    put(undivided, "cat/new.jpg")
    assert image_folder.scan(undivided, 0.2).fingerprint != folder.fingerprint


def test_unreadable_images_are_not_divided(undivided):
    """Or the only image for testing might be one of them."""
    folder = image_folder.scan(undivided, 0.1)
    (lost,) = [name for name, label in folder.images["test"] if label == 0]
    rest = folder.without([integrity.Unreadable(undivided / lost, "cut")])
    assert [rest.count("test", k) for k in (0, 1)] == [1, 1]
    assert lost not in {name for pairs in rest.images.values() for name, _ in pairs}
    assert rest.fingerprint == folder.fingerprint
    cats = [undivided / f"cat/{number}.jpg" for number in range(9)]
    with pytest.raises(UserError, match="pets/cat has too few images, 1: a class"):
        folder.without([integrity.Unreadable(path, "cut") for path in cats])


@pytest.mark.parametrize(
    ("damage", "fraction", "message"),
    [
        (lambda root: None, None, "no train and test: add --test_fraction=0.2"),
        (lambda root: None, float("nan"), "--test_fraction=nan: give a part between"),
        (lambda root: put(root, "a.jpg"), 0.2, "outside the class folders"),
        (lambda root: put(root, "train/cat/a.jpg"), 0.2, "has train: leave out --test"),
        (
            lambda root: put(root, "train/cat/a.jpg"),
            None,
            "has no folder 'test'.*--manual_dir=/.*/pets/train --test_fraction=0.2$",
        ),
    ],
)
def test_what_cannot_be_divided(undivided, damage, fraction, message):
    damage(undivided)
    with pytest.raises(UserError, match=message):
        image_folder.scan(undivided, fraction)


def only_hidden(folder):
    for path in folder.iterdir():
        path.rename(folder / f".{path.name}")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "is not a folder: give --manual_dir"),
        (lambda root: shutil.rmtree(root / "train"), "has no folder 'train'"),
        (lambda root: shutil.rmtree(root / "test"), "has no folder 'test'"),
        (lambda root: only_hidden(root / "train"), "has no class folders"),
        (lambda root: shutil.rmtree(root / "train/dog"), "only the class 'cat'"),
        (lambda root: put(root, "test/emu/a.jpg"), r"only test has \['emu'\]"),
        (lambda root: only_hidden(root / "test/dog"), "test/dog has no images"),
        (lambda root: put(root, "train/cat/kitten/a.jpg"), "inside a class folder"),
        (lambda root: put(root, "train/a.jpg"), "outside the class folders"),
    ],
)
def test_wrong_layouts_are_refused_by_name(pets, damage, message):
    damage(pets)
    with pytest.raises(UserError, match=message):
        image_folder.scan(pets)


def test_default_name(tmp_path):
    names = {"Pets 2": "pets_2", "_raf-DB.": "raf_db", "émotions": "motions"}
    for name, expected in names.items():
        assert image_folder.default_name(tmp_path / name) == expected
    with pytest.raises(UserError, match="--name"):
        image_folder.default_name(tmp_path / "顔")


def test_unreadable_images_are_named_with_the_reason(pets, tmp_path):
    bad = {
        put(pets, "train/cat/cut.jpg", encoded(side=64)[:-200]): "truncated",
        put(pets, "train/cat/cut.png", encoded("PNG", side=64)[:-30]): "be decoded",
        put(pets, "train/cat/text.jpg", b"hello"): "not a jpeg",
        put(pets, "train/cat/void.jpg", b""): "empty file",
        pets / "train/cat/gone.jpg": "no such file",
    }
    (pets / "train/cat/gone.jpg").symlink_to(tmp_path / "nowhere")
    folder = image_folder.scan(pets)
    found = list(integrity.find_unreadable(folder.paths))
    assert {u.path for u in found} == set(bad)
    for one in found:
        assert bad[one.path] in one.reason.lower(), one
    rest = folder.without(found)
    assert rest.count("train", 0) == 2
    assert rest.fingerprint == folder.fingerprint
    test_dog = integrity.Unreadable(folder.root / "test/dog/c.jpg", "cut")
    with pytest.raises(UserError, match="test/dog is readable"):
        folder.without([test_dog])


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


def test_round_trip_through_tfds(run, stored, pets):
    """Also of a name that is no text."""
    strange = os.fsencode(pets / "train/cat") + b"/\xff.jpg"
    os.rename(pets / "train/cat/a.jpg", strange)
    assert run("image_folder", f"--manual_dir={pets}")[0] == 0
    source, records = stored("image_folder/pets_2", "train")
    assert source.class_names == ("cat", "dog")
    named = {name: name for name, _ in image_folder.scan(pets).images["train"]}
    named[r"train/cat/\xff.jpg"] = named.pop("train/cat/\udcff.jpg")
    assert set(records) == set(named)
    for name, (label, data) in records.items():
        assert data == (pets / named[name]).read_bytes()
        assert label == (0 if "cat" in name else 1)
