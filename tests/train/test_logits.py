"""Whole splits: every image once, the same counts however they are dealt out."""

import types

import numpy as np
import pytest
import small
import toy

from qcs_jax.evaluate.counts import Counts
from qcs_jax.input import pipeline
from qcs_jax.train import logits as logits_of
from qcs_jax.train.step import make_eval_step, replicate

MODEL = small.create("baseline", num_classes=3)
VARIABLES = small.variables(MODEL)
SOURCE = toy.source("test")


def run(devices=1, batch_size=21):
    """All of a run that `predict_split` reads."""
    config = toy.config(**{"train.eval_batch_size": batch_size})
    topology = pipeline.Topology(hosts=1, host=0, devices=devices)
    return types.SimpleNamespace(config=config, topology=topology)


def logits(devices, batch_size, mirrored=False):
    step = make_eval_step(MODEL, mirrored=mirrored)
    variables = replicate(VARIABLES) if devices == 8 else VARIABLES
    return logits_of.predict_split(run(devices, batch_size), step, variables, SOURCE)


@pytest.fixture(scope="module")
def reference():
    """One device, all 21 images at once."""
    return logits(1, 21)


@pytest.mark.parametrize("devices, batch_size", [(1, 4), (2, 10), (4, 8), (8, 16)])
def test_counts_do_not_depend_on_devices_and_batches(devices, batch_size, reference):
    answers = logits(devices, batch_size)
    np.testing.assert_allclose(answers, reference, rtol=1e-4, atol=1e-5)
    counts = [Counts.of(x, SOURCE.labels) for x in (answers, reference)]
    np.testing.assert_array_equal(counts[0].confusion, counts[1].confusion)
    assert counts[0].confusion.sum() == 21
    assert counts[0].metrics() == pytest.approx(counts[1].metrics(), rel=1e-4)


def test_the_mirrored_step_sees_mirrored_images(reference, monkeypatch):
    decode = pipeline.decode
    direct = logits(1, 21, mirrored=True)
    monkeypatch.setattr(pipeline, "decode", lambda *image: decode(*image)[:, ::-1])
    np.testing.assert_allclose(direct, logits(1, 21), rtol=1e-4, atol=1e-5)
    assert np.abs(direct - reference).max() > 1e-3


def test_what_is_done_to_the_images(reference):
    """It sees which example each image is, those that fill a batch up included."""
    seen = []

    def darken_the_third(pixels, examples):
        assert pixels.shape == (len(examples), 36, 36, 3) and pixels.dtype == np.uint8
        seen.extend(examples.tolist())
        return np.where(examples[:, None, None, None] == 2, 0, pixels).astype(np.uint8)

    arguments = make_eval_step(MODEL), replicate(VARIABLES), SOURCE, darken_the_third
    difference = np.abs(logits_of.predict_split(run(8, 16), *arguments) - reference)
    assert sorted(set(seen)) == list(range(21)) and len(seen) == 32
    assert np.delete(difference, 2, axis=0).max() < 2e-5
    assert difference[2].max() > 1e-3
