"""Faces of several callers in one call of the network, and nobody's answer changed.

The last bits of what a network says of a face depend on the size of the batch that it
is computed in: the libraries below choose other orders of summation for other sizes.
`qcs-jax predict` computes the faces of a photograph together, filled up to a power of
two, and that size is what the answer of a service has to have as well. So the sizes
are compared at the start, on random faces, and callers share a batch only where it
gives the bits that each would get alone.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import jax
import numpy as np

from qcs_jax.evaluate.counts import finite
from qcs_jax.predict import network
from qcs_jax.predict.classifier import Classifier

SIZES = tuple(1 << i for i in range(network.BATCH.bit_length()))  # 1, 2, 4, ... 32

Run = Callable[[np.ndarray], np.ndarray]  # pixels [b, side, side, 3] -> logits [b, k]


def runner(classifier: Classifier) -> Run:
    """What computes logits; compiles a program for every new b."""

    def run(pixels: np.ndarray) -> np.ndarray:
        variables, *options = classifier.variables, classifier.model, classifier.flip
        return jax.device_get(network.forward(variables, pixels, *options)[0])

    return run


class Batches:
    """Threads that run the network on what any number of callers give it."""

    def __init__(
        self,
        run: Run,
        side: int,
        *,
        most: int = network.BATCH,
        wait: float = 0.002,
        threads: int = 1,
        note: Callable[[int, int], None] = lambda faces, size: None,
    ):
        """Compiles all programs; none is compiled later.

        Args:
          run: See `Run`.
          side: Of the faces, in pixels.
          most: Faces of different callers in a batch; 1 shares none.
          wait: Seconds that a batch waits for faces of others, if it may have any.
          threads: Batches that are computed at the same time.
          note: Called after every batch with its faces, and with its size.
        """
        self._run, self._most, self._wait, self._note = run, most, wait, note
        self.alike = _alike(run, side)
        self._jobs: deque[tuple[np.ndarray, Future]] = deque()
        self._changed, self._closed = threading.Condition(), False
        self._threads = [
            threading.Thread(target=self._work, name="network", daemon=True)
            for _ in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, pixels: np.ndarray) -> Future[np.ndarray]:
        """Asks for the logits `[n, k]` of faces, uint8 `[n, side, side, 3]`, n <= 32.

        NotFiniteError, as a result, if they are not finite.
        """
        future: Future[np.ndarray] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the network was closed")
            self._jobs.append((pixels, future))
            self._changed.notify_all()
        return future

    def close(self) -> None:
        """Ends the threads when all that was submitted is computed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while jobs := self._next():
            jobs = [x for x in jobs if x[1].set_running_or_notify_cancel()]
            if jobs:
                self._compute(jobs)

    def _next(self) -> list[tuple[np.ndarray, Future]]:
        """Waits for jobs that may share a batch; none once it is closed."""
        with self._changed:
            while True:
                while not self._jobs and not self._closed:
                    self._changed.wait()
                if not self._jobs:
                    return []
                until = time.monotonic() + self._wait
                while self._jobs and self._may_grow() and not self._closed:
                    if (left := until - time.monotonic()) <= 0:
                        break
                    self._changed.wait(left)
                if self._jobs:  # no other thread has taken them
                    return self._take()

    def _sizes(self) -> Sequence[int]:
        """Sizes that are alike to that of the oldest job."""
        return self.alike[size_of(len(self._jobs[0][0]))]

    def _may_grow(self) -> bool:
        """Whether more faces would fit into the batch of the oldest job."""
        sizes = self._sizes()
        return self._faces(sizes) < self._room(sizes)

    def _room(self, sizes: Sequence[int]) -> int:
        """Faces that a batch of these sizes may have."""
        return min(self._most, max(sizes, default=0))

    def _faces(self, sizes: Sequence[int]) -> int:
        jobs = [x for x, _ in self._jobs if size_of(len(x)) in sizes]
        return sum(map(len, jobs))

    def _take(self) -> list[tuple[np.ndarray, Future]]:
        """The oldest job, and others that fit to it, in their order."""
        sizes = self._sizes()
        taken, left = [self._jobs.popleft()], deque[tuple[np.ndarray, Future]]()
        room = self._room(sizes) - len(taken[0][0])
        for job in self._jobs:
            faces = len(job[0])
            if size_of(faces) in sizes and faces <= room:
                taken.append(job)
                room -= faces
            else:
                left.append(job)
        self._jobs = left
        return taken

    def _compute(self, jobs: list[tuple[np.ndarray, Future]]) -> None:
        try:
            pixels = np.concatenate([x for x, _ in jobs])
            own = size_of(len(jobs[0][0]))
            # Of sizes that are alike, the smallest that has room.
            size = min(x for x in {*self.alike[own], own} if x >= len(pixels))
            logits = self._run(_filled(pixels, size))
            self._note(len(pixels), size)
        except Exception as error:  # none may end this thread
            for _, future in jobs:
                future.set_exception(error)
            return
        start = 0
        for x, future in jobs:
            rows = logits[start : start + len(x)]
            start += len(x)
            try:
                future.set_result(finite(rows))
            except ValueError as error:  # NotFiniteError, for this caller alone
                future.set_exception(error)


def size_of(faces: int) -> int:
    """Size of the batch that `qcs-jax predict` computes so many faces in."""
    return 1 << (faces - 1).bit_length()


def _filled(pixels: np.ndarray, size: int) -> np.ndarray:
    return pixels[np.minimum(np.arange(size), len(pixels) - 1)]


def _alike(run: Run, side: int) -> dict[int, tuple[int, ...]]:
    """Says, for each size, which sizes give the same bits, itself among them.

    Two do if each face has the same logits in both, wherever in the batch it stands. A
    size in which that depends on its place is alike to none, not even itself.
    """
    shape = (max(SIZES), side, side, 3)
    faces = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    said: dict[int, np.ndarray] = {}
    for size in SIZES:
        logits = run(faces[:size])
        turned = run(np.roll(faces[:size], 1, axis=0))
        if np.array_equal(np.roll(turned, -1, axis=0), logits):
            said[size] = logits
    return {
        size: tuple(
            other
            for other, logits in said.items()
            if size in said and np.array_equal(*_common(said[size], logits))
        )
        for size in SIZES
    }


def _common(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of faces that are in both."""
    m = min(len(a), len(b))
    return a[:m], b[:m]
