"""AffectNet's older release: its lists, and the faces cut out of photographs."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw
from qcs_jax.data.affectnet import csv_release

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


def photograph(root, name, box=(20, 10, 50, 50), size=(100, 80), **options):
    """Writes a picture with a face; returns its name in the lists."""
    image = Image.new("RGB", size, OUTSIDE)
    ImageDraw.Draw(image).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=FACE)
    path = root / "Manually_Annotated_Images/12" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **{"quality": 95, "subsampling": 0, **options})
    return f"12/{name}"


def row(image, box, label):
    return ",".join([image, *map(str, box), "1.5;2.5;3.5", str(label), "0.1", "-0.2"])


def append(root, name, line):
    root.mkdir(exist_ok=True)
    with open(root / name, "a") as file:
        file.write(f"{line}\n")


def totals(out):
    return next(line.split() for line in out.splitlines() if line.startswith("total"))


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


def test_lists_and_images_where_the_archives_put_them(run, older):
    inside = older / "Manually_Annotated"
    (inside / "Manually_Annotated_file_lists").mkdir(parents=True)
    for name in ("training.csv", "validation.csv"):
        (older / name).rename(inside / "Manually_Annotated_file_lists" / name)
    (older / "Manually_Annotated_Images").rename(inside / "Manually_Annotated_Images")
    assert run("affectnet/8", f"--manual_dir={older}")[0] == 0


def test_lists_without_a_header(run, older):
    for name in ("training.csv", "validation.csv"):
        path = older / name
        path.write_text(path.read_text().removeprefix(HEADER + "\n"))
    code, out, _ = run("affectnet/8", f"--manual_dir={older}")
    assert code == 0 and totals(out)[1::2] == ["16", "8"]


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((20, 10, 30, 40), (30, 40)),
        ((20.4, "10.0", 29.6, 40), (30, 40)),
        ((-5, -7, 30, 40), (25, 33)),
        ((90, 70, 30, 40), (10, 10)),
        ((-5, -5, 500, 500), (100, 80)),
    ],
)
def test_boxes_are_clipped_to_the_image(tmp_path, box, size):
    name = photograph(tmp_path, "a.jpg")
    assert face(tmp_path, row(name, box, 1)).size == size


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((20, 10, 0, 40), "has no part of the image, 100x80"),
        ((20, 10, 30, -4), "has no part of the image"),
        ((100, 10, 30, 40), "has no part of the image"),
        ((-40, 10, 30, 40), "has no part of the image"),
        (("NULL", 10, 30, 40), "is not four numbers"),
        (("nan", 10, 30, 40), "is not four numbers"),
        (("inf", 10, 30, 40), "is not four numbers"),
    ],
)
def test_empty_and_damaged_boxes_are_unreadable(tmp_path, box, reason):
    name = photograph(tmp_path, "a.jpg")
    with pytest.raises(ValueError, match=reason):
        face(tmp_path, row(name, box, 1))


def face(root, line):
    """Loads the face of one row."""
    (root / "training.csv").write_text(f"{HEADER}\n{line}\n")
    [example] = csv_release.read(root, "training.csv")
    return Image.open(io.BytesIO(example.load()))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.tif", {"format": "TIFF"}),
        ("a.BMP", {"format": "BMP"}),
        ("a.png", {"format": "PNG"}),
        ("a.jpeg", {"format": "JPEG"}),
    ],
)
def test_photographs_of_other_formats(tmp_path, name, options):
    # TIFF has no chroma subsampling to choose.
    options |= {"quality": None, "subsampling": None} if name != "a.jpeg" else {}
    name = photograph(tmp_path, name, **{k: v for k, v in options.items() if v})
    assert face(tmp_path, row(name, (20, 10, 30, 40), 1)).format == "JPEG"


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_faces_of_other_modes(tmp_path, mode):
    path = tmp_path / "Manually_Annotated_Images/a.tif"
    path.parent.mkdir()
    Image.new(mode, (100, 80)).save(path)
    assert face(tmp_path, row("a.tif", (1, 2, 30, 40), 1)).mode in ("L", "RGB")


def test_damaged_rows_count_as_unreadable(run, older, tmp_path):
    good = photograph(older, "good.jpg")
    photograph(older, "../../../secret.jpg")
    box = (20, 10, 30, 40)
    bad = {
        "12/t0.jpg,1,2,3": "4 columns instead of 9",
        row(good, box, "happy"): "label 'happy' is not in 0..10",
        row(good, box, 11): "label '11' is not in 0..10",
        row(good, box, 1.5): "label '1.5' is not in 0..10",
        row("../../secret.jpg", box, 1): "leads elsewhere",
        row("/etc/passwd", box, 1): "leads elsewhere",
        row("", box, 1): "leads elsewhere",
        row("12/gone.jpg", box, 1): "No such file or directory",
        row(good, (500, 10, 30, 40), 1): "has no part of the image",
    }
    for line in bad:
        append(older, "training.csv", line)
    command = ("affectnet/8", f"--manual_dir={older}")
    code, _, error = run(*command, f"--max_unreadable={len(bad) - 1}")
    assert code == 1 and f"{len(bad)} images are unreadable" in error
    assert not list(tmp_path.rglob("dataset_info.json"))
    assert not list(tmp_path.rglob("incomplete*"))
    code, out, _ = run(*command, f"--max_unreadable={len(bad)}")
    assert code == 0 and f"skipped {len(bad)} unreadable images" in out
    assert totals(out)[1::2] == ["16", "8"]
    report = (tmp_path / "prepared/affectnet/8/unreadable.txt").read_text()
    for reason in bad.values():
        assert report.count(reason) == list(bad.values()).count(reason)
    assert "training.csv, line 24\t4 columns" in report


def test_many_damaged_rows_stop_before_the_images_are_read(run, older, monkeypatch):
    monkeypatch.setattr(csv_release, "_face", lambda *args: pytest.fail("was read"))
    for _ in range(11):
        append(older, "training.csv", "x")
    code, _, error = run("affectnet/8", f"--manual_dir={older}")
    assert code == 1 and "11 images are unreadable" in error
