"""A classifier in other processes: it answers the same, bit for bit."""

import copy
import multiprocessing
import pathlib
import pickle
import shutil
import threading
from concurrent.futures import ProcessPoolExecutor

import jax
import numpy as np
import pytest
import small
from PIL import Image

import qcs_jax
from qcs_jax.checkpoint import CheckpointError
from qcs_jax.predict import detector, yunet
from qcs_jax.system.errors import UserError

DETECTOR = pathlib.Path(__file__).parents[1] / "fixtures/bright_spot_detector.onnx"
PHOTO = Image.new("RGB", (300, 200))
PHOTO.paste((255, 255, 255), (80, 96, 88, 104))  # a bright spot
OTHER = small.pixels(60, 50, 3)


@pytest.fixture(scope="module")
def used(run):
    """A classifier that was used before."""
    used = qcs_jax.load(run, detector=yunet.YuNet(DETECTOR), flip=True)
    used.predict_photo(PHOTO)
    used.explain(PHOTO, OTHER)
    return used


def assert_same_photo(photo, expected):
    assert len(photo.faces) == 1
    for one, other in zip(photo.faces, expected.faces, strict=True):
        np.testing.assert_array_equal(one.box, other.box)
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_another_process_answers_the_same(used):
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        photo = pool.submit(used.predict_photo, PHOTO).result()
        explained = pool.submit(used.explain, PHOTO, OTHER).result()
    assert_same_photo(photo, used.predict_photo(PHOTO))
    maps = used.explain(PHOTO, OTHER).anchor_maps
    np.testing.assert_array_equal(explained.anchor_maps, maps)


def test_a_copy_answers_the_same(used):
    copied = copy.deepcopy(used)
    assert copied._detector is not used._detector
    assert_same_photo(copied.predict_photo(PHOTO), used.predict_photo(PHOTO))


def test_the_base_branch_goes_along_and_no_more(used):
    assert pickle.loads(pickle.dumps(detector.BlazeFace())).upright(PHOTO) == []
    weights = sum(x.nbytes for x in jax.tree.leaves(used.variables))
    assert weights < len(pickle.dumps(used)) < 1.02 * weights + 2**14


def test_the_cross_branch_stays_where_it_was(run, tmp_path, monkeypatch):
    shutil.copytree(run, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    sent = pickle.dumps(qcs_jax.load("run"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert pickle.loads(sent).explain(PHOTO, OTHER)
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(CheckpointError, match="explain reads .* no checkpoint at"):
        pickle.loads(sent).explain(PHOTO, OTHER)


class Locked:
    """A detector that cannot be pickled."""

    def __init__(self):
        self.lock = threading.Lock()


def test_a_detector_that_cannot_go_along_says_so():
    locked = qcs_jax.Classifier(small.trained(), detector=Locked())
    with pytest.raises(UserError, match="this Locked cannot be .*lock.*: give"):
        pickle.dumps(locked)
    local = qcs_jax.Classifier(small.trained(), detector=lambda image: [])
    assert copy.deepcopy(local)._detector is local._detector  # as cloudpickle does
