"""Photographs with all around the faces: every face, in pixels of the photograph."""

import dataclasses
import json

import numpy as np
import pytest
import saved
from PIL import Image

import qcs_jax
from qcs_jax.predict import align
from qcs_jax.predict.answers import FaceFound
from qcs_jax.system.errors import UserError


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Faces of its training images had their landmarks where training measured them."""
    template = (align.TEMPLATE * 0.9).tolist()
    folder = tmp_path_factory.mktemp("photograph")
    return qcs_jax.load(saved.run(folder / "run", 1, landmarks=template))


@pytest.fixture(scope="module")
def photo(measured, two):
    return measured.predict_photo(two)


def assert_same(answers, expected):
    for answer, other in zip(answers, expected, strict=True):
        np.testing.assert_allclose(answer.probabilities, other.probabilities, atol=1e-6)


def test_every_face_is_classified_as_its_crop(measured, classifier, photo, two):
    """Cut out as in the training images; as ArcFace does where that is not known."""
    assert isinstance(photo, qcs_jax.Photograph) and photo.path == str(two)
    left, right = photo.faces
    assert left.box[2] < right.box[0] and np.ptp(left.box[::2]) > np.ptp(right.box[::2])
    usual = classifier.predict_photo(two)
    for answer, network, scale in ((photo, measured, 0.9), (usual, classifier, 1.0)):
        for face in answer.faces:
            targets = align.TEMPLATE * scale * network.resize
            matrix = align.similarity(face.landmarks, targets)
            crop = align.warp(answer.image, matrix, network.resize)
            np.testing.assert_array_equal(face.pixels, crop)
            assert_same([face], [network.predict(crop)])
            assert face.path is None and 0.6 <= face.score <= 1
        assert not answer.whole


def test_photographs_come_one_by_one(classifier, two, tmp_path, flower):
    with two.open("rb") as file:  # such as an upload
        upload = classifier.predict_photo(file)
    assert upload.path is None
    answers = classifier.predict_photos([two, flower, tmp_path / "b"])
    assert_same(next(answers).faces, upload.faces)
    without, missing = answers
    assert without.faces == () and str(without) == "photograph: no face"
    assert isinstance(missing, qcs_jax.Failure) and missing.path == str(tmp_path / "b")
    with pytest.raises(UserError, match="No such file"):
        classifier.predict_photo(tmp_path / "none.jpg")
    for several in (two.parent, [two, two], f"{two.parent}/*.png"):
        with pytest.raises(UserError, match="predict_photos takes several"):
            classifier.predict_photo(several)


def test_it_is_json_and_boxes_and_labels_are_drawn(photo, tmp_path):
    written = json.loads(json.dumps(photo.to_dict()))
    assert (written["width"], written["height"]) == (900, 640)
    for face, cells in zip(photo.faces, written["faces"], strict=True):
        np.testing.assert_allclose(cells["box"], face.box, atol=0.05)
        assert list(cells["landmarks"])[0] == "left eye"
        assert cells["probabilities"] == pytest.approx(dict(face.top(3)))
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


def test_the_crop_of_a_photograph_does_not_matter(classifier, portrait):
    """Its face is cut out as from the whole photograph, not squeezed into a square."""
    [face] = classifier.predict_photo(portrait).faces
    middle, side = (face.box[:2] + face.box[2:]) / 2, max(face.box[2:] - face.box[:2])
    inside = slice(8, -8)  # around it, the edge of a narrow crop goes on
    for wide, aspect in ((1.05, 1 / 1.7), (1.05, 1.0), (1.3, 1.7), (2.6, 1 / 1.7)):
        half = wide * side * np.array((max(aspect, 1), max(1 / aspect, 1))) / 2
        box = np.clip([*(middle - half), *(middle + half)], 0, [*portrait.size] * 2)
        photo = classifier.predict_photo(portrait.crop(tuple(map(round, box))))
        [cut] = photo.faces
        levels, expected = (x.pixels[inside, inside].astype(float) for x in (cut, face))
        assert not photo.whole
        assert np.abs(levels - expected).mean() < 10  # squeezed they are 35 to 76


def test_small_squares_are_crops_and_taken_whole(classifier, photo):
    crop = Image.fromarray(photo.faces[0].pixels)
    crop = crop.resize((112, 112), Image.Resampling.BICUBIC)
    taken = classifier.predict_photo(crop)
    [face] = taken.faces
    assert taken.whole and taken.to_dict()["whole"] and face.landmarks.shape == (4, 2)
    assert_same([face], [classifier.predict(crop)])
    assert str(taken).endswith(", taken whole")
    for size, whole in (((48, 48), True), ((128, 128), True), ((129, 129), False)):
        taken = classifier.predict_photo(Image.new("RGB", size, (200, 90, 20)))
        assert (taken.whole, len(taken.faces)) == (whole, whole)
        if whole:
            [face] = taken.faces
            assert (face.landmarks, face.score) == (None, None)
            assert face.to_dict()["box"] == [0, 0, *size]
            assert json.dumps(taken.to_dict()) and taken.draw()
    assert not classifier.predict_photo(Image.new("RGB", (48, 40))).faces


NAMES = ("joy", "error")  # a class may be called like a column
P = np.array((0.25, 0.75))
IMAGE = Image.new("RGB", (40, 30))
BOX, PIXELS = np.array((1.0, 2.0, 11.04, 12.0)), np.zeros((4, 4, 3), np.uint8)


def test_tables_have_a_row_for_each_face_or_photograph_without_one():
    pytest.importorskip("pandas")
    face = FaceFound(P, NAMES, box=BOX, score=0.91234, pixels=PIXELS, id=1)
    poor = dataclasses.replace(face, quality=("small", "dark"))
    photos = [
        qcs_jax.Photograph(IMAGE, (), path="a.jpg"),
        qcs_jax.Photograph(IMAGE, (face, poor), path="c.jpg"),
        qcs_jax.Failure("broken", "\udcff.jpg"),
        qcs_jax.Photograph(IMAGE, (face,), whole=True, path="d.jpg"),
    ]
    table = qcs_jax.to_pandas(photos)
    assert list(table.columns) == [*qcs_jax.Photograph.COLUMNS, *NAMES, "error"]
    assert table["file"].tolist() == ["a.jpg", "c.jpg", "c.jpg", "?.jpg", "d.jpg"]
    errors = table.iloc[:, -1].fillna("").tolist()
    assert errors == ["no face", "", "", "broken", ""]
    place, answer = [1.0, 2.0, 11.0, 12.0, 0.9123], ["error", 0.25, 0.75]
    cells = [*place, "small, dark", *answer]
    assert table.iloc[2].tolist()[:-1] == ["c.jpg", 2, "face", *cells]
    cells = [*place, "", *answer]
    assert table.iloc[4].tolist()[:-1] == ["d.jpg", 1, "whole image", *cells]
    assert qcs_jax.to_pandas(photos[1]).equals(qcs_jax.to_pandas(photos[1:2]))
    frames = [qcs_jax.Frame(i, 0.04 * i, IMAGE, ()) for i in range(3)]
    assert [*qcs_jax.to_pandas(frames)] == [*qcs_jax.Frame.COLUMNS, "error"]
    frames.append(qcs_jax.Frame(3, 0.12, IMAGE, (face,)))
    table = qcs_jax.to_pandas(frames)
    assert table["seconds"].tolist() == [0, 0.04, 0.08, 0.12]
    assert table["face"].isna().tolist() == [True, True, True, False]
    predictions = (qcs_jax.Prediction(P, NAMES) for _ in range(3))
    assert qcs_jax.to_pandas(predictions).shape == (3, 5)
