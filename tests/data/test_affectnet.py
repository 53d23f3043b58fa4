"""AffectNet: both releases, their annotations, and the faces cut out of photographs."""

import io

import copies
import numpy as np
import pytest
from PIL import Image
from qcs_jax.data.affectnet import csv_release, folder_release
from qcs_jax.data.integrity import Unreadable

from qcs_jax.system.datasets import DATASETS


def totals(out):
    [total] = [line.split() for line in out.splitlines() if line.startswith("total")]
    return [int(number) for number in total[1::2]]


def of_newer(root, where, data):
    """Split and label of what is stored of an image, as the image itself says."""
    assert data == (root / where).read_bytes()
    red = Image.open(io.BytesIO(data)).getpixel((6, 6))[0]
    return "train" if where.startswith("train_set/images/") else "test", round(red / 20)


def of_older(root, where, data):
    image = Image.open(io.BytesIO(data))
    assert image.format == "JPEG" and image.size == (30, 40)
    face = np.broadcast_to(copies.FACE, (40, 30, 3))
    np.testing.assert_allclose(np.asarray(image), face, atol=12)
    return "train" if where.startswith("12/t") else "test", int(where[4:-4]) % 11


@pytest.mark.parametrize("config", [7, 8])
@pytest.mark.parametrize(
    ("write", "of"),
    [(copies.affectnet, of_newer), (copies.older_affectnet, of_older)],
)
def test_both_releases(prepare, stored, tmp_path, write, of, config):
    root = write(tmp_path / "copy")
    out = prepare(f"affectnet/{config}", root)
    assert f"Next: qcs-jax train --config=affectnet{config}" in out
    contempt = "3 contempt, " if config == 7 else ""
    left_out = f"left out, by their label: {contempt}3 none, 3 uncertain, 3 no face"
    assert left_out in out.splitlines() and "skipped" not in out
    assert totals(out) == [2 * config, config]
    for split in ("train", "test"):
        source, examples = stored(f"affectnet/{config}", split)
        assert source.class_names == DATASETS[f"affectnet/{config}"].class_names
        assert set(source.labels) == set(range(config))
        for where, (label, data) in examples.items():
            assert of(root, where, data) == (split, label)


def test_lists_without_a_header_where_the_archives_put_them(prepare, tmp_path):
    root = copies.older_affectnet(tmp_path / "older")
    inside = root / "Manually_Annotated"
    lists = inside / "Manually_Annotated_file_lists"
    lists.mkdir(parents=True)
    for name in ("training.csv", "validation.csv"):
        _, text = (root / name).read_text().split("\n", 1)
        (lists / name).write_text(text)
        (root / name).unlink()
    (root / "Manually_Annotated_Images").rename(inside / "Manually_Annotated_Images")
    assert totals(prepare("affectnet/8", root)) == [16, 8]


def header(shape):
    """The beginning of a file of numbers, without them."""
    buffer = io.BytesIO()
    of_doubles = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, of_doubles)
    return buffer.getvalue()


class Bomb:
    """Runs something when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("was unpickled",))


@pytest.mark.parametrize(
    ("array", "label"),
    [
        *((np.array(x), 3) for x in ("3", ["3"], b"3", 3, [3.0])),
        *((np.array(x), "is not in 0..10") for x in ("11", "-1", "nan", "happy")),
        *((np.array(x), "labels instead of one") for x in (["1", "2"], [])),
        (np.array(Bomb(), dtype=object), "not a plain array"),
        *((x, "not a plain array") for x in (b"", b"hello", b"\x93NUMPY\x01\x00")),
        *((header((n,)), "not a plain array") for n in (1, 10**15)),
    ],
)
def test_annotations(tmp_path, array, label):
    path, annotation = copies.annotate(tmp_path / "train_set", 0)
    if isinstance(array, bytes):
        annotation.write_bytes(array)
    else:
        np.save(annotation, array, allow_pickle=True)
    [entry] = folder_release.read(tmp_path, "train_set")
    if isinstance(label, int):
        assert (entry.label, entry.source) == (label, path)
    else:
        assert isinstance(entry, Unreadable) and entry.path == annotation
        assert label in entry.reason


def face(root, *row):
    """Loads the face of one row."""
    lines = [copies.AFFECTNET_COLUMNS, copies.row(*row), ""]
    (root / "training.csv").write_text("\n".join(lines))
    [example] = csv_release.read(root, "training.csv")
    return Image.open(io.BytesIO(example.load()))


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((20.4, "10.0", 29.6, 40), (30, 40)),
        ((-5, -7, 30, 40), (25, 33)),
        ((90, 70, 30, 40), (10, 10)),
        ((-5, -5, 500, 500), (100, 80)),
        ((20, 10, 30, -4), "has no part of the image, 100x80"),
        *(((x, 10, 30, 40), "has no part of the image") for x in (100, -40)),
        *(((x, 10, 30, 40), "is not four numbers") for x in ("NULL", "nan", "inf")),
    ],
)
def test_boxes_are_clipped_to_the_image(tmp_path, box, size):
    photograph = copies.photograph(tmp_path, "a.jpg")
    if isinstance(size, tuple):
        assert face(tmp_path, photograph, box, 1).size == size
    else:
        with pytest.raises(ValueError, match=size):
            face(tmp_path, photograph, box, 1)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "I;16"])
def test_photographs_of_other_formats_and_modes(tmp_path, mode):
    path = tmp_path / "Manually_Annotated_Images/a.tif"
    path.parent.mkdir()
    Image.new(mode, (100, 80)).save(path)
    cut = face(tmp_path, path.name, (1, 2, 30, 40), 1)
    assert cut.format == "JPEG" and cut.mode in ("L", "RGB")
