"""AffectNet: its classes, the newer release, labels that are no expressions."""

import io
import os
import pathlib

import numpy as np
import pytest
from PIL import Image
from qcs_jax.data.affectnet import affectnet_dataset_builder as release
from qcs_jax.data.affectnet import folder_release, labels
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


def test_classes_are_in_the_published_order():
    assert labels.CLASS_NAMES == (
        "neutral",
        "happiness",
        "sadness",
        "surprise",
        "fear",
        "disgust",
        "anger",
        "contempt",
    )


def test_published_counts_add_up():
    assert sum(DATASETS["affectnet/8"].published["train"]) == 287_651
    assert sum(DATASETS["affectnet/8"].published["train"][:7]) == 283_901
    assert sum(DATASETS["affectnet/8"].published["test"]) == 4_000
    assert sum(DATASETS["affectnet/8"].published["test"][:7]) == 3_500


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
        assert source.class_names == labels.CLASS_NAMES[:config]
        assert set(source.labels) == set(range(config))
        for where, (label, data) in examples.items():
            assert where.startswith(f"{folder}/images/")
            assert data == (newer / where).read_bytes()
            red = Image.open(io.BytesIO(data)).getpixel((6, 6))[0]
            assert abs(red - 20 * label) < 5


def test_both_configs_live_side_by_side(run, newer, tmp_path):
    for config in (7, 8):
        assert run(f"affectnet/{config}", f"--manual_dir={newer}")[0] == 0
    found = sorted(p.parent.parent.name for p in tmp_path.rglob("dataset_info.json"))
    assert found == ["7", "8"]


def test_counts_that_differ_are_warned_about(run, newer, monkeypatch):
    """Copies with 3,999 images for testing exist and are accepted."""
    monkeypatch.setattr(
        release.Builder, "published", {"train": (2,) * 8, "test": (2,) + (1,) * 7}
    )
    code, out, _ = run("affectnet/8", f"--manual_dir={newer}")
    assert code == 0
    assert [line for line in out.splitlines() if "warning" in line] == [
        "warning: test has 8 images, the published set 9 (neutral 1 instead of 2)"
    ]


class Bomb:
    """Runs something when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("was unpickled",))


@pytest.mark.parametrize(
    ("array", "label"),
    [
        (np.array("3"), 3),
        (np.array(["10"]), 10),
        (np.array(b"3"), 3),
        (np.array(3), 3),
        (np.array([3.0], np.float32), 3),
        (np.array("11"), "label '11' is not in 0..10"),
        (np.array("-1"), "label '-1' is not in 0..10"),
        (np.array("nan"), "label 'nan' is not in 0..10"),
        (np.array("happy"), "label 'happy' is not in 0..10"),
        (np.array(["1", "2"]), "2 labels instead of one"),
        (np.array([]), "0 labels instead of one"),
        (np.array(Bomb(), dtype=object), "not a plain array"),
    ],
)
def test_annotations(tmp_path, array, label):
    path, annotation = add(tmp_path / "train_set", 0)
    np.save(annotation, array, allow_pickle=True)
    [entry] = folder_release.read(tmp_path, "train_set")
    if isinstance(label, int):
        assert (entry.label, entry.source) == (label, path)
    else:
        assert isinstance(entry, Unreadable) and entry.path == annotation
        assert label in entry.reason


def header(shape):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", b"\x93NUMPY\x01\x00", header((1,)), header((10**15,))],
    ids=["empty", "text", "cut header", "no data", "huge"],
)
def test_files_that_are_no_annotations(tmp_path, data):
    _, annotation = add(tmp_path / "train_set", 0)
    annotation.write_bytes(data)
    [entry] = folder_release.read(tmp_path, "train_set")
    assert isinstance(entry, Unreadable) and "not a plain array" in entry.reason


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


def test_images_are_decoded_once(run, newer, monkeypatch):
    from qcs_jax.data import integrity

    decoded = []
    decode = integrity.decode
    monkeypatch.setattr(
        integrity, "decode", lambda data: decoded.append(data) or decode(data)
    )
    run("affectnet/8", f"--manual_dir={newer}")
    assert len(decoded) == 24


def complaint(run, root):
    """The first line of an error that also tells how to obtain the data set."""
    code, _, error = run("affectnet/8", f"--manual_dir={root}")
    assert code == 1
    assert "FOLDER/train_set/annotations/0_exp.npy" in error
    assert "FOLDER/training.csv" in error
    assert "http://mohammadmahoor.com/pages/databases/affectnet/" in error
    return error.splitlines()[0]


def test_missing_parts_are_named_with_the_expected_tree(run, newer, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "neither train_set nor training.csv" in complaint(run, tmp_path / "empty")
    (newer / "val_set").rename(newer / "validation")
    assert complaint(run, newer).endswith("val_set/images is missing.")
    older = tmp_path / "older"
    older.mkdir()
    (older / "training.csv").touch()
    assert complaint(run, older).endswith("older/validation.csv is missing.")
    (older / "validation.csv").touch()
    assert complaint(run, older).endswith("Manually_Annotated_Images is missing.")


def test_both_releases_in_one_folder_are_refused(run, newer):
    (newer / "training.csv").touch()
    code, _, error = run("affectnet/8", f"--manual_dir={newer}")
    assert code == 1 and "holds both releases" in error and "only one" in error


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("affectnet", "needs a config: choose one of affectnet/7, affectnet/8"),
        ("affectnet/9", "has no config '9': choose one of affectnet/7, affectnet/8"),
    ],
)
def test_configs(run, name, message):
    code, _, error = run(name)
    assert code == 1 and message in error


def test_commands_are_in_the_read_me():
    text = (pathlib.Path(release.__file__).parent / "README.md").read_text()
    assert "python data/prepare.py affectnet/8 --manual_dir=" in text
    assert "http://mohammadmahoor.com/pages/databases/affectnet/" in text
