"""Who shares a call of the network, and that nobody's answer depends on it."""

import threading

import numpy as np
import pytest

from qcs_jax.evaluate.counts import NotFiniteError
from qcs_jax.serve.batches import SIZES, Batches, size_of

SIDE = 2


class Network:
    """Logits are means of pixels; 1 and 2 faces are summed up in another order."""

    def __init__(self):
        self.sizes, self.go = [], threading.Event()
        self.go.set()

    def __call__(self, pixels):
        self.go.wait(10)
        self.sizes.append(len(pixels))
        means = pixels.reshape(len(pixels), -1).mean(axis=1, dtype=np.float32)
        means = means + np.float32(1e-3 * (len(pixels) < 4) * len(pixels))
        return np.stack([means, -means], axis=1)


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def batches(network):
    made = Batches(network, SIDE, wait=0.2)
    network.sizes.clear()
    yield made
    made.close()


def faces(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, SIDE, SIDE, 3)).astype(np.uint8)


def test_sizes_are_compared(batches):
    large = (4, 8, 16, 32)
    assert batches.alike == {1: (1,), 2: (2,)} | dict.fromkeys(large, large)
    assert tuple(batches.alike) == SIZES
    assert [size_of(n) for n in (1, 2, 3, 4, 5, 31, 32)] == [1, 2, 4, 4, 8, 32, 32]


def test_callers_share_a_call_and_each_gets_what_it_would_get_alone(batches, network):
    counts = (3, 1, 7, 2, 5, 1, 4, 2, 3)
    asked = [faces(n, seed) for seed, n in enumerate(counts)]
    alone = []
    for pixels in asked:
        padded = np.concatenate([pixels, *[pixels[-1:]] * 32])[: size_of(len(pixels))]
        alone.append(network(padded)[: len(pixels)])
    network.sizes.clear()
    network.go.clear()
    futures = [batches.submit(pixels) for pixels in asked]
    network.go.set()
    for future, expected in zip(futures, alone, strict=True):
        np.testing.assert_array_equal(future.result(10), expected, strict=True)
    # Each of 1 and 2 faces alone; 3 + 7 + 5 + 4 + 3 in one call, or in two.
    assert network.sizes.count(1) == 2 and network.sizes.count(2) == 2
    shared = [x for x in network.sizes if x > 2]
    assert sum(shared) >= 22 and len(shared) <= 2 and max(shared) >= 16


def test_no_call_has_more_than_it_may(network):
    batches = Batches(network, SIDE, most=8, wait=0.2)
    network.sizes.clear()
    network.go.clear()
    futures = [batches.submit(faces(n)) for n in (4, 4, 4, 4, 31)]
    network.go.set()
    assert [len(x.result(10)) for x in futures] == [4, 4, 4, 4, 31]
    assert sorted(network.sizes) in ([8, 8, 32], [4, 4, 8, 32])
    batches.close()


def test_where_the_place_in_a_batch_counts_nobody_shares():
    def run(pixels):
        sizes.append(len(pixels))
        return np.arange(2.0 * len(pixels)).reshape(-1, 2) + pixels.mean()

    sizes = []
    batches = Batches(run, SIDE)
    assert batches.alike == {1: (1,)} | dict.fromkeys(SIZES[1:], ())
    sizes.clear()
    futures = [batches.submit(faces(3, seed)) for seed in range(3)]
    assert [len(x.result(10)) for x in futures] == [3] * 3 and sizes == [4] * 3
    batches.close()


def test_a_fault_is_told_to_those_whom_it_meets(batches, network, monkeypatch):
    def run(pixels):
        if pixels.max() == 0:
            raise MemoryError("no memory")
        logits = network(pixels)
        logits[pixels[:, 0, 0, 0] == 255] = np.nan
        return logits

    monkeypatch.setattr(batches, "_run", run)
    bad, good = faces(4) // 2, faces(4) // 2
    bad[2, 0, 0, 0] = 255
    futures = [batches.submit(x) for x in (bad, good)]
    with pytest.raises(NotFiniteError):
        futures[0].result(10)
    assert len(futures[1].result(10)) == 4
    with pytest.raises(MemoryError):
        batches.submit(np.zeros_like(good)).result(10)
    assert len(batches.submit(good).result(10)) == 4


def test_what_nobody_waits_for_is_not_computed(batches, network):
    network.go.clear()
    first, second = batches.submit(faces(1)), batches.submit(faces(2))
    assert second.cancel()
    network.go.set()
    assert len(first.result(10)) == 1
    last = batches.submit(faces(4))
    batches.close()  # what was submitted is computed
    assert len(last.result(0)) == 4 and network.sizes == [1, 4]
    with pytest.raises(RuntimeError, match="closed"):
        batches.submit(faces(1))


def test_threads_take_every_job_once():
    batches = Batches(Network(), SIDE, wait=0.001, threads=4)
    asked = [faces(1 + seed % 7, seed) for seed in range(400)]
    answers = [x.result(10) for x in [*map(batches.submit, asked)]]
    for pixels, logits in zip(asked, answers, strict=True):
        means = pixels.reshape(len(pixels), -1).mean(axis=1)
        np.testing.assert_allclose(logits[:, 0], means, atol=0.01)
    batches.close()
