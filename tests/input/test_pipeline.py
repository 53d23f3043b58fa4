"""Batches of a run: which examples, in which order, on which host and device."""

import contextlib
import dataclasses
import functools
import itertools
import subprocess
import sys
from multiprocessing import shared_memory
from unittest import mock

import jax
import memory_source
import numpy as np
import pytest

from qcs_jax.input import pipeline
from qcs_jax.input.pipeline import Topology
from qcs_jax.input.sampling import Draw, LabelIndex
from qcs_jax.system.errors import UserError

SIDE = 4
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(3), (11, 20, 10)))
ONE = Topology(hosts=1, host=0, devices=1)


@functools.cache
def source():
    return memory_source.create(LABELS, SIDE)


def batches(topology=ONE, *, batch_size=8, seed=0, branches=4, **options):
    draw = Draw(LabelIndex(LABELS, 3), branches, options.pop("anchors", "shuffled"))
    return pipeline.train_batches(
        options.pop("source", None) or source(),
        draw,
        batch_size=batch_size,
        side=SIDE,
        seed=seed,
        topology=topology,
        **options,
    )


def drawn(batch):
    """`[devices, n, b]` images -> examples `[n, devices * b]` in global order."""
    examples = memory_source.examples_in(batch["image"])
    return examples.swapaxes(0, 1).reshape(examples.shape[1], -1)


def anchors_of_epoch(epoch, batch_size=8, steps=5, **options):
    dataset = batches(batch_size=batch_size, branches=1, **options)
    chosen = [dataset[epoch * steps + i] for i in range(steps)]
    return np.concatenate([drawn(batch)[0] for batch in chosen])


def assert_same(batch, other):
    assert batch.keys() == {"image", "label"}
    jax.tree.map(np.testing.assert_array_equal, batch, other)


def test_epochs_visit_each_anchor_once_in_orders_and_parts_of_their_own():
    for batch_size, epoch in [(1, 0), (8, 1), (40, 7), (41, 0)]:
        steps = len(LABELS) // batch_size
        anchors = anchors_of_epoch(epoch, batch_size, steps)
        assert len(set(anchors.tolist())) == len(anchors) == steps * batch_size
        assert set(anchors.tolist()) <= set(range(len(LABELS)))
    every = itertools.product(range(4), range(4))
    assert len({tuple(anchors_of_epoch(e, seed=s).tolist()) for e, s in every}) == 16
    options = dict(batch_size=4, steps=2, epoch_fraction=0.2)
    parts = [anchors_of_epoch(epoch, **options).tolist() for epoch in range(20)]
    assert all(len(set(part)) == 8 for part in parts)
    assert set().union(*parts) == set(range(len(LABELS)))


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_the_partners_of_an_anchor_change_with_the_epoch(seed):
    dataset, partners = batches(seed=seed), ({}, {})
    for i in range(10):
        anchors, *others = drawn(dataset[i])
        partners[i // 5].update(zip(anchors, np.transpose(others), strict=True))
    both = partners[0].keys() & partners[1].keys()
    assert len(both) > 30
    same = [partners[0][anchor] == partners[1][anchor] for anchor in both]
    assert (np.mean(same, axis=0) < 0.4).all()


@pytest.mark.parametrize("branches, devices", [(1, 4), (2, 1), (4, 2)])
def test_layout_and_labels(branches, devices):
    dataset = batches(Topology(1, 0, devices), branches=branches)
    for step in (0, 1000):
        images, labels = dataset[step]["image"], dataset[step]["label"]
        assert images.shape == (devices, branches, 8 // devices, SIDE, SIDE, 3)
        assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
        examples = memory_source.examples_in(images)
        np.testing.assert_array_equal(labels, LABELS[examples])
        if branches == 4:
            anchor, positive, negative, second = labels.swapaxes(0, 1)
            assert (anchor == positive).all() and (negative == second).all()
            assert (anchor != negative).all()


@pytest.mark.parametrize("hosts,devices", [(1, 4), (1, 8), (2, 2), (4, 1)])
def test_hosts_and_devices_share_the_global_batch_in_order(hosts, devices):
    every = [batches(Topology(hosts, host, devices)) for host in range(hosts)]
    for step in (0, 6):
        parts = np.concatenate([drawn(dataset[step]) for dataset in every], axis=1)
        np.testing.assert_array_equal(parts, drawn(batches()[step]))


@pytest.mark.parametrize("anchors", ["shuffled", "balanced"])
def test_resumes_at_any_step_with_any_number_of_workers(anchors):
    whole = batches(anchors=anchors)
    processes = 2 if anchors == "balanced" else 0
    for start, workers in ((1, 0), (5, 0), (12, processes)):  # 5 steps make an epoch
        resumed = pipeline.iterate(batches(anchors=anchors), start, workers=workers)
        with contextlib.closing(resumed):
            for step, batch in enumerate(itertools.islice(resumed, 6), start):
                assert_same(batch, whole[step])
    ones = batches(batch_size=1)  # of which grain itself cannot make an endless run
    with contextlib.closing(pipeline.iterate(ones, 50, workers=0)) as iterator:
        assert_same(next(iterator), ones[50])


def test_workers_on_windows_send_their_batches(monkeypatch):
    monkeypatch.setattr(pipeline, "_SHARED_MEMORY", False)
    monkeypatch.setattr(shared_memory, "SharedMemory", mock.Mock(side_effect=OSError))
    with contextlib.closing(pipeline.iterate(batches(), 3, workers=2)) as iterator:
        for step, batch in enumerate(itertools.islice(iterator, 4), 3):
            assert_same(batch, batches()[step])


def test_a_resumed_run_does_not_read_what_it_skips():
    spy = mock.Mock(wraps=source().records)
    spy.__getitems__ = mock.Mock(wraps=source().records.__getitems__)
    dataset = batches(source=dataclasses.replace(source(), records=spy))[10**9 :]
    assert not spy.__getitems__.called
    assert_same(dataset[0], batches()[10**9])
    [call] = spy.__getitems__.call_args_list
    assert len(call.args[0]) == 32


LEAVING = """
from multiprocessing import shared_memory
import grain
from qcs_jax.input import pipeline

pipeline.iterate(grain.MapDataset.range(4), 0, workers=1).close()
left = shared_memory.SharedMemory(create=True, size=1)
left.close()
print(left.name)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows leaves no shared memory")
def test_shared_memory_that_is_left_goes_without_a_word():
    """After the error of a worker some is, of batches that it had made before."""
    argv = [sys.executable, "-c", LEAVING]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.stdout and not done.stderr
    with pytest.raises(FileNotFoundError):
        shared_memory.SharedMemory(done.stdout.strip())


@pytest.mark.parametrize(
    "batch_size, hosts, devices", [(4, 1, 1), (48, 1, 4), (4, 4, 1), (48, 2, 2)]
)
def test_evaluation_sees_every_example_once(batch_size, hosts, devices):
    seen, b = [], batch_size // hosts // devices
    for host in range(hosts):
        options = dict(side=SIDE, topology=Topology(hosts, host, devices))
        for images, examples in pipeline.eval_batches(
            source(), batch_size=batch_size, **options
        ):
            assert images.shape == (devices, b, SIDE, SIDE, 3)
            assert examples.shape == (devices * b,)
            shown = memory_source.examples_in(images).reshape(-1)
            real = examples >= 0
            np.testing.assert_array_equal(shown[real], examples[real])
            seen += examples[real].tolist()
    assert sorted(seen) == list(range(len(LABELS)))


def test_the_length_of_an_epoch():
    assert pipeline.steps_per_epoch(41, 8) == pipeline.steps_per_epoch(40, 8) == 5
    assert pipeline.steps_per_epoch(283901, 24, 1 / 12) == 985
    for batch_size, fraction in ((42, 1), (21, 0.5), (1, 0.01)):
        message = f"{int(41 * fraction)} anchors.*train.batch_size={batch_size}"
        with pytest.raises(UserError, match=message):
            batches(batch_size=batch_size, epoch_fraction=fraction)


def test_a_corrupt_image_is_named():
    damaged = memory_source.create(LABELS, SIDE, corrupt={17})
    with pytest.raises(UserError, match="'train/17.png' of memory/test, split train"):
        for step in range(6):
            batches(source=damaged)[step]
    with pytest.raises(UserError, match="'train/17.png'"):
        list(pipeline.eval_batches(damaged, batch_size=8, side=SIDE, topology=ONE))
