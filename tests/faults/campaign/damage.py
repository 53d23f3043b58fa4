"""Damages checkpoints: who reads one gets what was saved. And PyTorch files."""

import itertools
import logging
import pathlib
import shutil
import subprocess
import sys

import jax
import numpy as np
from fleet import Fleet, items_of

from qcs_jax import checkpoint
from qcs_jax.checkpoint.saving import Checkpoints
from qcs_jax.evaluate.runs import METRIC

FUZZ = pathlib.Path(__file__).parents[2] / "convert" / "reader" / "fuzz.py"
STEPS = (6, 12)  # of the two checkpoints


def checkpoints(tally, folder, count, draw):
    """Damages one file of a checkpoint after the other, in random ways."""
    if not count:
        return
    whole = folder / "whole"
    with Fleet(whole, count=1) as run:
        assert run.ends()[0][0] == 0
    saved = {step: items_of(whole, step) for step in STEPS}
    _, description, _ = checkpoint.load_variables(whole)
    parts = sorted(x for x in (whole / checkpoint.FOLDER).rglob("*") if x.is_file())
    draw.shuffle(parts)
    logging.disable(logging.WARNING)
    for file, _ in zip(itertools.cycle(parts), range(count), strict=False):
        how = draw.choice(sorted(DAMAGES))
        with tally.one(f"a file of a checkpoint {how}"):
            copy = folder / "copy"
            shutil.copytree(whole, copy)
            try:
                DAMAGES[how](copy / file.relative_to(whole), draw)
                _check(copy, saved, description)
            finally:
                shutil.rmtree(copy)


def files(tally, count, seed):
    """Broken PyTorch files: the reader loads or refuses each; all else ends the fuzzer.

    It is a process that may not use much memory.
    """
    if not count:
        return
    command = [sys.executable, str(FUZZ), str(count), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True)
    survived = count if done.returncode == 0 else 0
    print(done.stderr, end="", file=sys.stderr)
    tally.many("a PyTorch file, broken", count, survived)


def _flip(file, draw):
    data = bytearray(file.read_bytes() or b"0")
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    file.write_bytes(data)


def _cut(file, draw):
    data = file.read_bytes()
    file.write_bytes(data[: draw.randrange(len(data) + 1)])


def _zero(file, draw):
    data = bytearray(file.read_bytes())
    start = draw.randrange(len(data) + 1)
    data[start : start + 512] = bytes(len(data[start : start + 512]))
    file.write_bytes(data)


DAMAGES = {
    "with a bit flipped": _flip,
    "cut short": _cut,
    "with a block of zeros": _zero,
    "removed": lambda file, draw: file.unlink(),
}


def _check(workdir, saved, description):
    """Loading, and going on, each end at one of the steps as it was saved.

    Loading reads no optimizer: it may be at the newer step where going on is not.
    """
    same = np.testing.assert_array_equal
    variables, _, step = checkpoint.load_variables(workdir)
    jax.tree.map(same, variables, {name: saved[step][name] for name in variables})
    with Checkpoints(workdir, keep=2, metric=METRIC) as found:
        items, _ = found.restore(saved[max(STEPS)], description)
    step = int(items["train"]["step"])
    jax.tree.map(same, items, saved[step])
