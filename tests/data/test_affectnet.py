"""AffectNet: both releases, and labels that are no expressions."""

import io
import os

import numpy as np
import pytest
from PIL import Image, ImageDraw
from qcs_jax.data.affectnet import csv_release, folder_release
from qcs_jax.data.integrity import Unreadable

from qcs_jax.system.datasets import DATASETS


@pytest.fixture
def newer(tmp_path):
    """Two images of each class in train_set, one in val_set, and others."""
    root = tmp_path / "newer"
    for folder, repeats in (("train_set", 2), ("val_set", 1)):
        for label in [*range(11)] * repeats:
            add(root / folder, label)
    return root


def add(folder, label, image=True):
    """Adds an image with a label; returns both files."""
    images, annotations = folder / "images", folder / "annotations"
    for place in (images, annotations):
        place.mkdir(parents=True, exist_ok=True)
    stem = str(len(os.listdir(annotations)))
    path = images / f"{stem}.jpg"
    if image:
        Image.new("RGB", (12, 12), (20 * int(label), 100, 200)).save(path)
    annotation = annotations / f"{stem}_exp.npy"
    np.save(annotation, np.array(str(label)))  # the release holds strings
    np.save(annotations / f"{stem}_val.npy", np.array("0.5"))
    return path, annotation


def totals(out):
    return next(line.split() for line in out.splitlines() if line.startswith("total"))


@pytest.mark.parametrize("config", [7, 8])
def test_newer_release(run, stored, newer, config):
    code, out, error = run(f"affectnet/{config}", f"--manual_dir={newer}")
    assert (code, error) == (0, "")
    assert f"Next: qcs-jax train --config=affectnet{config}" in out
    contempt = "3 contempt, " if config == 7 else ""
    left_out = f"left out, by their label: {contempt}3 none, 3 uncertain, 3 no face"
    assert left_out in out.splitlines()
    assert totals(out)[1::2] == [str(2 * config), str(config)]
    for split, folder in (("train", "train_set"), ("test", "val_set")):
        source, examples = stored(f"affectnet/{config}", split)
        assert source.class_names == DATASETS[f"affectnet/{config}"].class_names
        assert set(source.labels) == set(range(config))
        for where, (label, data) in examples.items():
            assert where.startswith(f"{folder}/images/")
            assert data == (newer / where).read_bytes()
            red = Image.open(io.BytesIO(data)).getpixel((6, 6))[0]
            assert abs(red - 20 * label) < 5


def header(shape):
    """The beginning of a file of numbers, without them."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
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
    path, annotation = add(tmp_path / "train_set", 0)
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


def test_images_without_labels_and_labels_without_images(run, newer, tmp_path):
    _, annotation = add(newer / "train_set", 1)
    annotation.unlink()
    path, _ = add(newer / "train_set", 1, image=False)
    add(newer / "train_set", 9, image=False)  # nobody wants that image
    code, out, _ = run("affectnet/8", f"--manual_dir={newer}")
    assert code == 0 and "skipped 2 unreadable images" in out
    report = (tmp_path / "prepared/affectnet/8/unreadable.txt").read_text()
    assert report.count("\n") == 2
    assert f"{annotation}\tNo such file" in report and f"{path}\tNo such" in report


def test_missing_parts_are_named_with_the_expected_tree(run, newer, tmp_path):
    def complaint(root):
        code, _, error = run("affectnet/8", f"--manual_dir={root}")
        assert code == 1
        assert "FOLDER/train_set/annotations/0_exp.npy" in error
        assert "FOLDER/training.csv" in error
        assert "http://mohammadmahoor.com/pages/databases/affectnet/" in error
        return error.splitlines()[0]

    older = tmp_path / "older"
    older.mkdir()
    assert "neither train_set nor training.csv" in complaint(older)
    (older / "training.csv").touch()
    assert complaint(older).endswith("older/validation.csv is missing.")
    (older / "validation.csv").touch()
    assert complaint(older).endswith("Manually_Annotated_Images is missing.")
    (newer / "val_set").rename(newer / "validation")
    assert complaint(newer).endswith("val_set/images is missing.")
    (newer / "training.csv").touch()
    code, _, error = run("affectnet/8", f"--manual_dir={newer}")
    assert code == 1 and "holds both releases" in error and "only one" in error


# The older release: lists, and the faces cut out of photographs.

HEADER = ",".join(csv_release.COLUMNS)
FACE, OUTSIDE = (200, 40, 90), (10, 220, 10)


@pytest.fixture
def older(tmp_path):
    """Two images of each class in one list, one in the other, and others."""
    root = tmp_path / "older"
    for name, repeats in (("training.csv", 2), ("validation.csv", 1)):
        append(root, name, HEADER)
        for k, label in enumerate([*range(11)] * repeats):
            image = photograph(root, f"{name[0]}{k}.jpg")
            # Where there is no face, there is no box either.
            box = (20, 10, 30, 40) if label < 8 else ("NULL",) * 4
            append(root, name, row(image, box, label))
    return root


def photograph(root, name, box=(20, 10, 50, 50), size=(100, 80)):
    """Writes a picture with a face; returns its name in the lists."""
    image = Image.new("RGB", size, OUTSIDE)
    ImageDraw.Draw(image).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=FACE)
    path = root / "Manually_Annotated_Images/12" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=95, subsampling=0)
    return f"12/{name}"


def row(image, box, label):
    return ",".join([image, *map(str, box), "1.5;2.5;3.5", str(label), "0.1", "-0.2"])


def append(root, name, line):
    root.mkdir(exist_ok=True)
    with open(root / name, "a") as file:
        file.write(f"{line}\n")


@pytest.mark.parametrize("config", [7, 8])
def test_older_release(run, stored, older, config):
    code, out, error = run(f"affectnet/{config}", f"--manual_dir={older}")
    assert (code, error) == (0, "")
    assert "3 none, 3 uncertain, 3 no face" in out and "skipped" not in out
    assert totals(out)[1::2] == [str(2 * config), str(config)]
    for split, prefix in (("train", "t"), ("test", "v")):
        _, examples = stored(f"affectnet/{config}", split)
        for where, (label, data) in examples.items():
            assert where.startswith(f"12/{prefix}")
            assert label == int(where[4:-4]) % 11
            image = Image.open(io.BytesIO(data))
            assert image.format == "JPEG" and image.size == (30, 40)
            np.testing.assert_allclose(
                np.asarray(image), np.broadcast_to(FACE, (40, 30, 3)), atol=12
            )


def test_lists_without_a_header_where_the_archives_put_them(run, older):
    inside = older / "Manually_Annotated"
    lists = inside / "Manually_Annotated_file_lists"
    lists.mkdir(parents=True)
    for name in ("training.csv", "validation.csv"):
        text = (older / name).read_text().removeprefix(HEADER + "\n")
        (lists / name).write_text(text)
        (older / name).unlink()
    (older / "Manually_Annotated_Images").rename(inside / "Manually_Annotated_Images")
    code, out, _ = run("affectnet/8", f"--manual_dir={older}")
    assert code == 0 and totals(out)[1::2] == ["16", "8"]


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
    line = row(photograph(tmp_path, "a.jpg"), box, 1)
    if isinstance(size, tuple):
        assert face(tmp_path, line).size == size
    else:
        with pytest.raises(ValueError, match=size):
            face(tmp_path, line)


def face(root, line):
    """Loads the face of one row."""
    (root / "training.csv").write_text(f"{HEADER}\n{line}\n")
    [example] = csv_release.read(root, "training.csv")
    return Image.open(io.BytesIO(example.load()))


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.BMP", "RGB"), *(("a.tif", x) for x in ("RGB", "L", "P", "CMYK", "I;16"))],
)
def test_photographs_of_other_formats_and_modes(tmp_path, name, mode):
    path = tmp_path / "Manually_Annotated_Images" / name
    path.parent.mkdir()
    Image.new(mode, (100, 80)).save(path)
    cut = face(tmp_path, row(name, (1, 2, 30, 40), 1))
    assert cut.format == "JPEG" and cut.mode in ("L", "RGB")


def test_damaged_rows_count_as_unreadable(run, older, tmp_path):
    good = photograph(older, "good.jpg")
    photograph(older, "../../../secret.jpg")
    box = (20, 10, 30, 40)
    bad = {
        "12/t0.jpg,1,2,3": "4 columns instead of 9",
        row(good, box, "happy"): "label 'happy' is not in 0..10",
        row(good, box, 1.5): "label '1.5' is not in 0..10",
        row("../../secret.jpg", box, 1): "leads elsewhere",
        row("/etc/passwd", box, 1): "leads elsewhere",
        row("12/gone.jpg", box, 1): "No such file or directory",
        row(good, (500, 10, 30, 40), 1): "has no part of the image",
    }
    for line in bad:
        append(older, "training.csv", line)
    command = ("affectnet/8", f"--manual_dir={older}")
    code, out, _ = run(*command, f"--max_unreadable={len(bad)}")
    assert code == 0 and f"skipped {len(bad)} unreadable images" in out
    assert totals(out)[1::2] == ["16", "8"]
    report = (tmp_path / "prepared/affectnet/8/unreadable.txt").read_text()
    for reason in bad.values():
        assert report.count(reason) == list(bad.values()).count(reason)
    assert "training.csv, line 24\t4 columns" in report
