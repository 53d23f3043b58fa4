"""A loaded classifier: whatever holds a face gives the same answer, in its place."""

import copy
import functools
import io
import itertools
import multiprocessing
import pathlib
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import saved
import small
from PIL import Image

import qcs_jax
from qcs_jax.checkpoint import CheckpointError, Trained
from qcs_jax.images import augment
from qcs_jax.images.decode import to_pixels
from qcs_jax.predict import detector, network
from qcs_jax.predict.classifier import Classifier
from qcs_jax.predict.yunet import YuNet
from qcs_jax.system.errors import UserError

# Of an evaluation; it was the one to measure landmarks in earlier versions.
MEASURED = {
    "metrics": {"accuracy": 0.9},
    "intervals": {"accuracy": [0.87, 0.92]},
    "examples": 700,
    "dataset": "toy",
    "split": "test",
    "landmarks": [[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.5, 0.8]],
}


DETECTOR = pathlib.Path(__file__).parents[1] / "fixtures/bright_spot_detector.onnx"
PHOTO = Image.new("RGB", (300, 200))
PHOTO.paste((255, 255, 255), (80, 96, 88, 104))  # a bright spot
OTHER = small.pixels(60, 50, 3)


def picture(seed, height=60, width=50, channels=3):
    """Smooth colours, so that resizing keeps pictures apart."""
    return np.asarray(
        Image.fromarray(small.pixels(3, 3, channels, seed=seed)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
    )


def expected(classifier, pixels):
    """Probabilities as training's own functions give them."""
    square = to_pixels(Image.fromarray(pixels), 52)
    ready = augment.preprocess(jnp.asarray(square)[None], classifier.image_size)
    return np.asarray(jax.nn.softmax(classifier.logits(ready)))[0]


def assert_same(answers, probabilities):
    assert len(answers) == len(probabilities)
    for answer, p in zip(answers, probabilities, strict=True):
        np.testing.assert_allclose(answer.probabilities, p, atol=2e-6)


@pytest.fixture(scope="module")
def pictures():
    return [picture(seed) for seed in range(40)]


@pytest.fixture
def files(tmp_path, pictures):
    paths = [tmp_path / f"{i:02}.png" for i in range(5)]
    for path, pixels in zip(paths, pictures, strict=False):
        Image.fromarray(pixels).save(path)
    return paths


@pytest.mark.parametrize("method", ["predict", "classify", "predict_photo"])
def test_a_network_that_overflows_says_nothing(method):
    overflowing = small.trained()
    overflowing.variables["params"]["base"]["vit"]["head"]["kernel"][:] = 3e38
    with pytest.raises(UserError, match="1 of 1 images is not finite"):
        getattr(Classifier(overflowing), method)(small.pixels(36, 36, 3))


def test_the_network_is_folded_but_says_the_same(run, classifier):
    assert classifier.class_names == saved.CLASS_NAMES
    assert (classifier.image_size, classifier.resize) == (48, 52)
    assert classifier.variables.keys() == {"params"}
    assert classifier.variables["params"].keys() == {"base"}
    trained, faces = Trained.load(run), small.pixels(3, 52, 52, 3)
    images = augment.preprocess(jnp.asarray(faces), trained.model.image_size)
    embed = jax.jit(functools.partial(trained.model.apply, method="embed"))
    outputs = embed(trained.variables, images)
    folded = (classifier.logits(images), classifier.features(faces))
    for pair in (classifier.classify(faces), folded):
        for value, unfolded in zip(pair, outputs, strict=True):
            np.testing.assert_allclose(value, unfolded, atol=2e-5)


def test_one_face_one_answer(classifier, pictures, files):
    path, pixels = files[0], pictures[0]
    p, data = expected(classifier, pixels), path.read_bytes()
    for face in (path, str(path), Image.open(path), pixels, jnp.array(pixels), data):
        answer = classifier.predict(face)
        assert_same([answer, *classifier.predict_each(face)], [p] * 2)
        named = isinstance(face, str | pathlib.Path)
        assert answer.path == (str(path) if named else None)
    assert_same(classifier.predict([io.BytesIO(data), path]), [p] * 2)
    p = answer.probabilities
    assert p.dtype == np.float64 and p.sum() == pytest.approx(1, abs=1e-12)
    assert answer.label == saved.CLASS_NAMES[p.argmax()]
    assert answer.top(1) == [(answer.label, answer.confidence)]
    assert dict(answer.top(9)) == dict(zip(saved.CLASS_NAMES, p, strict=True))
    assert str(answer) == f"{answer.label} ({p.max():.3f})"


def test_many_faces_answers_in_order(classifier, pictures, files):
    p = [expected(classifier, pixels) for pixels in pictures[:5]]
    folder = files[0].parent
    mixed = [files[0], Image.fromarray(pictures[1]), f"{folder}/0[2-4].png"]
    for many in (iter(map(str, files)), np.stack(pictures[:5]), folder, mixed):
        assert_same(classifier.predict(many), p)
    answers = classifier.predict(files[::-1])
    assert_same(answers, p[::-1])
    assert [answer.path for answer in answers] == list(map(str, files[::-1]))


def test_a_batch_is_as_good_as_one_by_one_in_few_programs(classifier, pictures):
    before = network.forward._cache_size()
    alone = [classifier.predict(pixels).probabilities for pixels in pictures]
    for count in (2, 3, 5, 9, 16, 31, 33, 40):
        assert_same(classifier.predict(pictures[:count]), alone[:count])
    assert network.forward._cache_size() - before <= 6  # 1, 2, 4, ... 32


def test_what_is_no_image_fails_alone_and_keeps_its_place_among_others(
    classifier, pictures, tmp_path
):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    with pytest.raises(UserError, match="bad.jpg: not an image of a known format"):
        classifier.predict(bad)
    with pytest.raises(UserError, match="nowhere: No such file"):
        classifier.features([pictures[0], "nowhere"])
    odd = Image.new("La", (8, 8))  # a mode that cannot be made RGB
    many = [*pictures[:35], bad, *pictures[35:], None, f"{tmp_path}/*.gif", odd]
    answers = classifier.predict(many)
    failures = {35: str(bad), 41: None, 42: f"{tmp_path}/*.gif", 43: None}
    for i, path in failures.items():
        assert isinstance(answers[i], qcs_jax.Failure)
        assert answers[i].path == path and answers[i].error
    assert str(answers[35]) == f"{bad}: not an image of a known format"
    good = [a for i, a in enumerate(answers) if i not in failures]
    assert_same(good, [a.probabilities for a in classifier.predict(pictures)])
    [failure] = classifier.predict(f"{tmp_path}/*.jpg")  # all of a batch
    assert isinstance(failure, qcs_jax.Failure)
    assert classifier.predict([]) == []
    assert classifier.features([]).shape == (0, classifier.model.features)


def test_predict_each_reads_only_as_far_as_it_must(classifier, pictures):
    read = itertools.count()
    answers = classifier.predict_each(pictures[0] for _ in read)
    assert len([*itertools.islice(answers, 40)]) == 40
    answers.close()
    assert next(read) <= 40 + 3 * 32


def test_steps(run, classifier, pictures):
    newest = classifier.predict(pictures[0])
    for path, step in ((run, 2), (str(run / "checkpoints"), None)):
        same = qcs_jax.load(path, step=step).predict(pictures[0])
        np.testing.assert_array_equal(same.probabilities, newest.probabilities)
    first = qcs_jax.load(run, step=1).predict(pictures[0])
    assert np.abs(first.probabilities - newest.probabilities).max() > 1e-3
    with pytest.raises(UserError, match="no checkpoint of step 7"):
        qcs_jax.load(run, step=7)
    same = qcs_jax.load(run / "checkpoints" / "1").predict(pictures[0])
    np.testing.assert_array_equal(same.probabilities, first.probabilities)


def test_flips_are_averaged(run, classifier, pictures):
    mirrored = [np.ascontiguousarray(pixels[:, ::-1]) for pixels in pictures[:4]]
    both = [classifier.classify(faces) for faces in (pictures[:4], mirrored)]
    flipping = qcs_jax.load(run, flip=True)
    for mean, *each in zip(flipping.classify(pictures[:4]), *both, strict=True):
        np.testing.assert_allclose(mean, np.mean(each, axis=0), atol=2e-5)
        assert np.abs(each[0] - each[1]).max() > 1e-3


def test_it_says_what_it_is_and_what_was_measured_of_it(run, classifier, tmp_path):
    lines = str(classifier).splitlines()
    assert lines[:2] == [f"Classifier {run}", "  network   tiny qcs, step 2 on toy"]
    assert "are not known" in lines[-1]
    copy = shutil.copytree(run, tmp_path / "run")
    saved.evaluated(copy, **MEASURED)
    assert str(qcs_jax.load(copy)).splitlines()[-2:] == [
        "  landmarks as in the training images",
        "  accuracy  0.900 (0.870 to 0.920) of 700 images, toy test",
    ]
    other = saved.run(tmp_path / "other", 3)
    for of, fields in ((copy, {"step": 7}), (copy, {"fingerprint": {}}), (other, {})):
        saved.evaluated(copy, of, **MEASURED | {"step": 2} | fields)
        doubt = f"not known: {copy / 'metrics.json'} is about other weights"
        unmeasured = str(qcs_jax.load(copy)).splitlines()
        assert unmeasured[1:-1] == lines[1:] and doubt in unmeasured[-1]


def test_the_base_branch_goes_along_and_no_more(run):
    used = qcs_jax.load(run, detector=YuNet(DETECTOR), flip=True)
    [expected] = used.predict_photo(PHOTO).faces
    used.explain(PHOTO, OTHER)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        there = pool.submit(used.predict_photo, PHOTO).result()
    copied = copy.deepcopy(used)
    assert copied._detector is not used._detector
    for photo in (there, copied.predict_photo(PHOTO)):
        [face] = photo.faces
        np.testing.assert_array_equal(face.box, expected.box)
        np.testing.assert_array_equal(face.probabilities, expected.probabilities)
    weights = sum(x.nbytes for x in jax.tree.leaves(used.variables))
    assert weights < len(pickle.dumps(used)) < 1.02 * weights + 2**14
    assert pickle.loads(pickle.dumps(detector.BlazeFace())).upright(PHOTO) == []


def test_the_cross_branch_stays_where_it_was(run, classifier, tmp_path, monkeypatch):
    shutil.copytree(run, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    sent = pickle.dumps(qcs_jax.load("run"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    maps = pickle.loads(sent).explain(PHOTO, OTHER).anchor_maps
    np.testing.assert_array_equal(maps, classifier.explain(PHOTO, OTHER).anchor_maps)
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        pickle.loads(sent).explain(PHOTO, OTHER)
