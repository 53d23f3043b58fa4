"""Whole photographs: every face, in the pixels of the photograph."""

import json
import pathlib

import matplotlib
import matplotlib.figure
import numpy as np
import pytest
import saved
import sklearn.datasets
from PIL import Image

import qcs_jax
from qcs_jax.predict import align
from qcs_jax.system.errors import UserError

PORTRAIT = pathlib.Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    template = (align.TEMPLATE * 0.9).tolist()
    folder = tmp_path_factory.mktemp("photograph")
    return qcs_jax.load(saved.run(folder / "run", 1, landmarks=template))


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A photograph of two people: the left one is larger."""
    portrait = Image.open(PORTRAIT).convert("RGB")
    photograph = Image.new("RGB", (900, 640), (90, 110, 80))
    photograph.paste(portrait, (20, 20))
    photograph.paste(portrait.resize((256, 300)), (600, 300))
    path = tmp_path_factory.mktemp("photographs") / "two.png"
    photograph.save(path)
    return path


def same(box, other):
    return np.array_equal(box, other)


def area(box):
    return np.prod(box[2:] - box[:2])


def test_every_face_is_classified_as_its_crop(classifier, two):
    photo = classifier.predict_photo(two)
    assert isinstance(photo, qcs_jax.Photograph) and photo.path == str(two)
    left, right = photo.faces
    assert left.box[2] < right.box[0] and area(left.box) > area(right.box)
    aligner = align.Aligner(template=align.TEMPLATE * 0.9)
    for face in photo.faces:
        [detection] = [x for x in aligner.detect(photo.image) if same(x.box, face.box)]
        crop = aligner.cut(photo.image, detection, classifier.resize)
        alone = classifier.predict(crop)
        np.testing.assert_allclose(face.probabilities, alone.probabilities, atol=1e-6)
        assert (face.label, face.confidence) == (
            alone.label,
            pytest.approx(alone.confidence),
        )
        assert alone.path is None and 0.6 <= face.score <= 1
        np.testing.assert_array_equal(face.pixels, crop)
    assert not photo.whole


def test_uploads_and_archives_are_photographs(classifier, two):
    expected = classifier.predict_photo(two)
    data = two.read_bytes()
    with two.open("rb") as file:
        photos = [classifier.predict_photo(data), classifier.predict_photo(file)]
        file.seek(0)
        photos += classifier.predict_photos([file])
    for photo in photos:
        assert photo.path is None
        for face, other in zip(photo.faces, expected.faces, strict=True):
            np.testing.assert_array_equal(face.box, other.box)
            np.testing.assert_array_equal(face.probabilities, other.probabilities)


def test_photographs_come_one_by_one(classifier, two, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    flower = sklearn.datasets.load_sample_image("flower.jpg")
    answers = classifier.predict_photos(
        [two, tmp_path / "a.jpg", flower, tmp_path / "b"]
    )
    first = next(answers)  # before the others are opened
    assert len(first.faces) == 2
    broken, without, missing = answers
    assert isinstance(broken, qcs_jax.Failure) and "not an image" in str(broken)
    assert without.faces == () and str(without) == "photograph: no face"
    assert isinstance(missing, qcs_jax.Failure) and missing.path == str(tmp_path / "b")


def test_what_is_no_image_is_an_error_alone(classifier, tmp_path):
    with pytest.raises(UserError, match="No such file"):
        classifier.predict_photo(tmp_path / "none.jpg")


def test_several_are_not_one(classifier, two):
    for several in (two.parent, [two, two], f"{two.parent}/*.png"):
        with pytest.raises(UserError, match="predict_photos takes several"):
            classifier.predict_photo(several)


def test_it_is_json(classifier, two):
    photo = classifier.predict_photo(two)
    found = json.loads(json.dumps(photo.to_dict()))
    assert (found["file"], found["width"], found["height"]) == (str(two), 900, 640)
    for face, told in zip(photo.faces, found["faces"], strict=True):
        np.testing.assert_allclose(told["box"], face.box, atol=0.05)
        assert list(told["landmarks"])[0] == "left eye" and told["label"] == face.label
        assert told["probabilities"].keys() == set(classifier.class_names)
        assert sum(told["probabilities"].values()) == pytest.approx(1)


def test_boxes_and_labels_are_drawn(classifier, two, tmp_path):
    photo = classifier.predict_photo(two)
    before = np.asarray(photo.image).copy()
    photo.save(tmp_path / "drawn.png")
    drawn = np.asarray(Image.open(tmp_path / "drawn.png"))
    np.testing.assert_array_equal(photo.image, before)  # a copy
    changed = (drawn != before).any(axis=-1)
    for face in photo.faces:
        left, top, right, bottom = face.box.round().astype(int)
        middle = (top + bottom) // 2
        assert changed[middle - 5 : middle + 5, left - 2 : left + 3].any(axis=1).all()
        assert not changed[middle, left + 10 : right - 10].any()
    assert changed.mean() < 0.1
    assert str(photo).count("\n") == 1 and f"{photo.faces[0].label} (" in str(photo)


def test_labels_stay_inside(classifier):
    small = Image.open(PORTRAIT).convert("RGB").crop((150, 110, 385, 345))
    photo = classifier.predict_photo(small)
    assert len(photo.faces) == 1
    assert photo.draw().size == small.size
    photo.faces[0].box[:] += np.tile((300, -200), 2)  # far outside
    label = (np.asarray(photo.draw()) != np.asarray(photo.image)).any(axis=-1)
    assert label.sum() > 100


def test_a_crop_is_taken_whole_and_said_to_be(classifier, two):
    crop = Image.fromarray(classifier.predict_photo(two).faces[0].pixels)
    crop = crop.resize((112, 112), Image.Resampling.BICUBIC)
    photo = classifier.predict_photo(crop)
    [face] = photo.faces
    assert photo.whole and photo.to_dict()["whole"] and face.landmarks.shape == (4, 2)
    alone = classifier.predict(crop)
    np.testing.assert_allclose(face.probabilities, alone.probabilities, atol=1e-6)
    assert str(photo).endswith(", taken whole")


@pytest.mark.parametrize("wide", [1.05, 1.3, 2.6])
@pytest.mark.parametrize("aspect", [1 / 1.7, 1 / 1.3, 1.0, 1.3, 1.7])
def test_the_crop_of_a_photograph_does_not_matter(classifier, wide, aspect):
    """Its face is cut out as from the whole photograph, not squeezed into a square."""
    portrait = Image.open(PORTRAIT).convert("RGB")
    [face] = classifier.predict_photo(portrait).faces
    middle, side = (face.box[:2] + face.box[2:]) / 2, max(face.box[2:] - face.box[:2])
    half = wide * side * np.array((max(aspect, 1), max(1 / aspect, 1))) / 2
    box = np.clip([*(middle - half), *(middle + half)], 0, [*portrait.size] * 2)
    photo = classifier.predict_photo(portrait.crop(tuple(map(round, box))))
    inside = slice(8, -8)  # around it, the edge of a narrow crop goes on
    cut, wanted = (x.pixels[inside, inside].astype(float) for x in (*photo.faces, face))
    assert not photo.whole
    assert np.abs(cut - wanted).mean() < 10  # levels; squeezed they are 35 to 76


def test_only_of_small_squares_it_is_assumed(classifier):
    for size, whole in (((48, 48), True), ((128, 128), True), ((129, 129), False)):
        photo = classifier.predict_photo(Image.new("RGB", size, (200, 90, 20)))
        assert (photo.whole, len(photo.faces)) == (whole, whole)
        if whole:
            [face] = photo.faces
            assert (face.landmarks, face.score) == (None, None)
            assert face.to_dict()["box"] == [0, 0, *size]
            assert json.dumps(photo.to_dict()) and photo.draw()
    assert not classifier.predict_photo(Image.new("RGB", (48, 40))).faces


def test_it_is_plotted(classifier, two):
    axes = matplotlib.figure.Figure().add_subplot()
    photo = classifier.predict_photo(two)
    assert photo.plot(axes) is axes
    [shown] = axes.get_images()
    np.testing.assert_array_equal(shown.get_array(), np.asarray(photo.draw()))
