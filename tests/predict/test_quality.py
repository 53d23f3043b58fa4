"""Faces whose image says too little, and where a user reads that."""

import csv
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from qcs_jax.predict import __main__ as command
from qcs_jax.predict.quality import lacks, noted

BOX = np.array((10.0, 20.0, 50.0, 60.0))
GREY = np.full((4, 4, 3), 128, np.uint8)


def box(left, top, width, height):
    return np.array((left, top, left + width, top + height), np.float64)


@pytest.mark.parametrize(
    "place, expected",
    [
        (box(10, 20, 40, 40), ()),
        (box(10, 20, 24, 24), ()),
        (box(10, 20, 23.9, 40), ("small",)),
        (box(-19, 20, 40, 40), ()),
        (box(-20, 20, 40, 40), ("cut off",)),
        (box(81, 20, 40, 40), ("cut off",)),
        (box(10, -21, 40, 40), ("cut off",)),
        (box(10, 61, 40, 40), ("cut off",)),
        (box(-12, -12, 40, 40), ("cut off",)),  # half in neither direction
        (box(-60, 20, 40, 40), ("cut off",)),
        (box(90, 70, 23, 23), ("small", "cut off")),
    ],
)
def test_a_face_needs_pixels_inside_of_the_image(place, expected):
    assert lacks(place, (100, 80), GREY) == expected


@pytest.mark.parametrize(
    "colour, dark",
    [
        ((8, 8, 8), False),
        ((7, 7, 7), True),
        ((0, 14, 0), False),  # bright to the eye, though its mean is 5
        ((24, 0, 0), True),  # and 8
        ((0, 0, 66), True),  # and 22
    ],
)
def test_a_face_needs_light(colour, dark):
    pixels = np.full((4, 4, 3), colour, np.uint8)
    assert lacks(BOX, (100, 80), pixels) == (("dark",) if dark else ())


def test_all_at_once():
    found = lacks(box(-20, -20, 22, 30), (100, 80), np.zeros_like(GREY))
    assert found == ("small", "cut off", "dark")
    assert noted(found) == " (small, cut off, dark)" and noted(()) == ""


@pytest.fixture(scope="module")
def poor(portrait, tmp_path_factory):
    """Three photographs of one face that say too little, and one that says enough."""
    folder = tmp_path_factory.mktemp("poor")
    portrait.crop((280, 0, 512, 600)).save(folder / "cut.png")
    portrait.point(lambda level: round(0.06 * level)).save(folder / "dark.png")
    portrait.save(folder / "fine.png")
    small = portrait.resize((41, 48), Image.Resampling.LANCZOS)
    small.point(lambda level: round(0.06 * level)).save(folder / "small.png")
    return folder


def test_photographs_say_what_their_faces_lack(classifier, poor):
    cut, dark, fine, small = classifier.predict_photos(poor)
    found = [photo.faces[0].quality for photo in (cut, dark, fine, small)]
    assert found == [("cut off",), ("dark",), (), ("small", "dark")]
    assert str(small).endswith(" to 29, 26 (small, dark)")
    assert not str(fine).endswith(")")
    assert small.to_dict()["faces"][0]["quality"] == ["small", "dark"]
    assert json.loads(json.dumps(fine.to_dict()))["faces"][0]["quality"] == []
    whole = classifier.predict_photo(Image.new("RGB", (60, 60), (7, 7, 7)))
    assert whole.whole and str(whole).endswith("), taken whole (dark)")


def test_frames_say_so_too(classifier, portrait):
    dark = portrait.point(lambda level: round(0.06 * level))
    frames = [*classifier.watch([(0, 0.0, portrait), (1, 0.1, dark)])]
    assert [frame.faces[0].quality for frame in frames] == [(), ("dark",)]
    assert frames[0].faces[0].id == frames[1].faces[0].id


def test_it_is_drawn_beside_the_label(classifier, poor, monkeypatch):
    said = []

    def write(pen, place, text, *_, **__):
        said.append(text)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", write)
    for photo in classifier.predict_photos([poor / "dark.png", poor / "fine.png"]):
        photo.draw()
    assert said[0].endswith(" % (dark)") and said[1].endswith(" %")


def test_the_command_prints_and_writes_it(run, poor, tmp_path, capsys):
    out = tmp_path / "x.csv"
    argv = [f"--checkpoint={run}", str(poor), f"--out={out}"]
    assert command.main(argv) == 0
    _, cut, dark, fine, small = capsys.readouterr().out.splitlines()
    assert cut.endswith(" (cut off)") and dark.endswith(" (dark)")
    assert small.endswith(" (small, dark)") and not fine.endswith(")")
    rows = list(csv.DictReader(out.read_text().splitlines()))
    found = [row["quality"] for row in rows]
    assert found == ["cut off", "dark", "", "small, dark"]
