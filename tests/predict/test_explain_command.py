"""The command that draws what faces share; `test_explanation` tests what it draws."""

import pathlib

import matplotlib
import pytest
import saved
import small
from PIL import Image

import qcs_jax
from qcs_jax.predict import explain_command

PORTRAIT = pathlib.Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return saved.run(tmp_path_factory.mktemp("explain") / "run", 1)


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    crop, empty = small.pixels(2, 200, 200, 3)
    Image.fromarray(crop).save("crop.png")
    Image.fromarray(empty).save("empty.png")
    with Image.open(PORTRAIT) as portrait:
        portrait.save("portrait.jpg")
        two = Image.new("RGB", (900, 640), (90, 110, 80))
        two.paste(portrait.resize((256, 300)), (20, 300))
        two.paste(portrait, (360, 20))
    two.save("two.png")


def assert_drawn(classifier, anchor, other):
    classifier.explain(anchor, other).save("y.png")
    assert pathlib.Path("x.png").read_bytes() == pathlib.Path("y.png").read_bytes()


def test_the_largest_faces_of_photographs_are_compared(run, images, capsys):
    argv = ["two.png", "--out=x.png", f"--checkpoint={run}"]
    assert explain_command.main([*argv, "portrait.jpg"]) == 0
    assert capsys.readouterr().out == "wrote x.png\n"
    classifier = qcs_jax.load(run)
    larger, smaller = classifier.predict_photo("two.png").faces
    assert larger.box[0] > smaller.box[2]
    [other] = classifier.predict_photo("portrait.jpg").faces
    assert_drawn(classifier, larger.pixels, other.pixels)


def test_crops_are_taken_whole(run, images):
    argv = ["crop.png", "empty.png", f"--checkpoint={run}", "--out=x.png", "--crops"]
    assert explain_command.main(argv) == 0
    assert_drawn(qcs_jax.load(run), "crop.png", "empty.png")


@pytest.mark.parametrize(
    "argv,message",
    [
        (["portrait.jpg", "empty.png", "--out=x.png"], "empty.png: no face found"),
        (["crop.png", "empty.png", "--out=./crop.png"], "is one of the images"),
        (["crop.png", "empty.png", "--out=linked.png"], "is one of the images"),
        (["portrait.jpg", "nowhere.png", "--out=x.png"], "nowhere.png: No such"),
        (["crop.png", "empty.png", "--out=x.gif"], "ends in .png or .jpg"),
    ],
)
def test_mistakes_are_told_in_one_line(run, images, capsys, argv, message):
    pathlib.Path("linked.png").hardlink_to("crop.png")
    before = pathlib.Path("crop.png").read_bytes()
    assert explain_command.main([*argv, f"--checkpoint={run}"]) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("error: ") and message in err
    assert err.count("\n") == 1
    assert pathlib.Path("crop.png").read_bytes() == before
    assert not pathlib.Path("x.png").exists()
