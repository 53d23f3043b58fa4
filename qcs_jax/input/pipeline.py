"""The input pipeline: anchors -> draws -> decoded uint8 batches.

It has no state: batch i of a run is a function of (seed, i) alone. A resumed run starts
the pipeline at its step, at no cost, and sees what the uninterrupted run would have
seen, with any number of workers and hosts.
"""

from __future__ import annotations

import dataclasses
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker

import grain
import jax
import numpy as np
from absl import flags

from qcs_jax.images.decode import decode
from qcs_jax.input.sampling import Draw
from qcs_jax.input.sources import Source
from qcs_jax.system.errors import UserError
from qcs_jax.system.signals import STOPPING

# More than any run has. Grain's own "for ever" overflows with batches of one.
_EPOCHS = 2**31
# Windows frees it when the worker closes it, which grain does before it is read.
_SHARED_MEMORY = sys.platform != "win32"
_READ_AHEAD = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)


@dataclasses.dataclass(frozen=True)
class Topology:
    """The hosts and devices that a global batch is divided over."""

    hosts: int
    host: int  # this process
    devices: int  # of this process

    @classmethod
    def current(cls) -> Topology:
        """Returns that of the running processes."""
        return cls(jax.process_count(), jax.process_index(), jax.local_device_count())

    def share(self, batch: np.ndarray) -> np.ndarray:
        """This host's part of a global batch, contiguous."""
        size = len(batch) // self.hosts
        return batch[self.host * size : (self.host + 1) * size]


@dataclasses.dataclass(frozen=True)
class Decode:
    """Reads the drawn examples, resizes them and lays them out for the devices."""

    source: Source
    side: int
    devices: int

    def __call__(self, draws: np.ndarray) -> dict[str, np.ndarray]:
        """int64 `[B, n]` -> image `[devices, n, b, side, side, 3]`, label alike."""
        # [B, n] -> [devices, n, b], as the step wants them.
        draws = draws.reshape(self.devices, -1, draws.shape[1]).swapaxes(1, 2)
        source, examples = self.source, draws.reshape(-1).tolist()
        pixels = np.empty((len(examples), self.side, self.side, 3), np.uint8)
        for i, data in enumerate(source.encoded(examples)):
            try:
                pixels[i] = decode(data, self.side)
            except Exception as error:
                [name] = source.ids([examples[i]])
                raise UserError(
                    f"cannot decode image {name!r} of {source.name}, split "
                    f"{source.split}: {error}. Prepare the data set again."
                ) from error
        images = pixels.reshape(*draws.shape, *pixels.shape[1:])
        return {"image": images, "label": source.labels[draws]}


def steps_per_epoch(examples: int, batch_size: int, epoch_fraction: float = 1) -> int:
    """Returns the number of whole batches in an epoch; raises UserError for none."""
    anchors = int(examples * epoch_fraction + 1e-6)  # 0.29 * 100 is 28.999...
    steps = anchors // batch_size
    if not steps:
        raise UserError(
            f"an epoch has {anchors} anchors, fewer than "
            f"train.batch_size={batch_size}: lower it"
        )
    return steps


def train_batches(
    source: Source,
    draw: Draw,
    *,
    batch_size: int,
    side: int,
    seed: int,
    epoch_fraction: float = 1,
    topology: Topology,
) -> grain.MapDataset:
    """Batches of the endless run: element i is this host's part of batch i.

    A batch has `batch_size` anchors over all hosts and is as `Decode` makes it; what
    an epoch's permutation leaves of the last one is left out. Slicing from a step
    resumes there.
    """
    steps = steps_per_epoch(len(source), batch_size, epoch_fraction)
    # grain adds the epoch to the seed: spread seeds so that runs share no permutation.
    shuffle_seed, draw_seed = np.random.SeedSequence(seed).generate_state(2).tolist()
    return (
        grain.MapDataset.range(len(source))
        .shuffle(seed=shuffle_seed)
        .slice(slice(0, steps * batch_size))
        .repeat(_EPOCHS)
        .random_map(draw, seed=draw_seed)
        .batch(batch_size)
        .map(topology.share)
        .map(Decode(source, side, topology.devices))
    )


def iterate(
    batches: grain.MapDataset, start: int, *, workers: int
) -> grain.DatasetIterator:
    """Iterates from a batch on; the caller closes the iterator.

    `workers` is the number of processes that decode; 0 uses threads of this process.
    """
    dataset = batches[start:].to_iter_dataset(_READ_AHEAD)
    if workers:
        if not flags.FLAGS.is_parsed():  # grain's workers read absl's flags
            flags.FLAGS.mark_as_parsed()
        if _SHARED_MEMORY:
            _start_tracker()
        else:
            copies = grain.experimental.DatasetOptions(min_shm_size=sys.maxsize)
            dataset = grain.experimental.WithOptionsIterDataset(dataset, copies)
        options = grain.MultiprocessingOptions(workers)
        dataset = dataset.mp_prefetch(options, worker_init_fn=_depend_on_parent)
    return iter(dataset)


def _start_tracker() -> None:
    """Starts the process that removes shared memory which others leave behind.

    After an error in a worker there is some, of batches that nobody takes any more. It
    would warn of them as of a mistake.
    """
    before = os.environ.get("PYTHONWARNINGS", "")  # "" is as none
    quiet = f"ignore::UserWarning:{resource_tracker.__name__}"
    os.environ["PYTHONWARNINGS"] = f"{before},{quiet}".lstrip(",")
    resource_tracker.ensure_running()
    os.environ["PYTHONWARNINGS"] = before


def _depend_on_parent(*_: int) -> None:
    """A worker ends when its main process says so, or is gone, and for nothing else.

    Terminals and schedulers signal every process; one that was killed told nobody.
    """
    for signum in STOPPING:
        signal.signal(signum, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent, "only a worker depends on its parent"

    def follow() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


# Pixels uint8 [b, side, side, 3] and the examples they are [b] -> other pixels.
Change = Callable[[np.ndarray, np.ndarray], np.ndarray]


def eval_batches(
    source: Source,
    *,
    batch_size: int,
    side: int,
    topology: Topology,
    change: Change | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every example of a split once, in order, over hosts and devices.

    Yields images uint8 `[devices, b, side, side, 3]`, and the examples they are, int64
    `[devices * b]`, -1 where the last example fills the last batch up. `change` is
    called by several threads.
    """
    read_images = Decode(source, side, topology.devices)
    total = -(-len(source) // batch_size) * batch_size
    positions = np.arange(total).reshape(-1, batch_size)

    def read(batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mine = topology.share(batch)
        readable = np.minimum(mine, len(source) - 1)
        pixels = read_images(readable[:, None])["image"][:, 0]
        if change is not None:
            flat = pixels.reshape(-1, *pixels.shape[-3:])
            pixels = change(flat, readable).reshape(pixels.shape)
        return pixels, np.where(mine < len(source), mine, -1)

    dataset = grain.MapDataset.source(positions).map(read)
    yield from dataset.to_iter_dataset(_READ_AHEAD)
