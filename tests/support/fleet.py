"""Processes that train the world of `toy` together."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import orbax.checkpoint as ocp

from qcs_jax import checkpoint
from qcs_jax.checkpoint.storage import ITEMS, open_read_only, read_items
from qcs_jax.evaluate.runs import read_log

SUPPORT = pathlib.Path(__file__).parent


class Fleet:
    """Processes of one run, `subprocess.Popen` each, in the order of their numbers."""

    def __init__(
        self, workdir, *flags, count=2, variant="baseline", devices=1, own=None
    ):
        """Starts `count` processes with so many devices each.

        `own` are further flags of some: number of the process -> flag.
        """
        self.workdir = pathlib.Path(workdir)
        self.processes = []
        meeting = [f"--coordinator=localhost:{free_port()}", f"--processes={count}"]
        for i in range(count):
            where = [*meeting, f"--process={i}", "--patience=10"] if count > 1 else []
            where += [own[i]] if own and i in own else []
            self.processes.append(
                subprocess.Popen(
                    command_line(workdir, variant, *flags, *where),
                    env=environment(devices),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.communicate(timeout=60)  # an orphan would hold the pipe

    def wait_for_step(self, step, seconds=300):
        """Returns when the log has this step of training."""
        until = time.monotonic() + seconds
        while self.step < step:
            assert all(process.poll() is None for process in self.processes)
            assert time.monotonic() < until, f"step {step} was not reached"
            time.sleep(0.05)

    @property
    def step(self):
        """The last step in the log, or 0."""
        log = self.workdir / "log.jsonl"
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        whole = [line for line in lines if line.endswith("\n")]
        return json.loads(whole[-1])["step"] if whole else 0

    def ends(self, seconds=300):
        """Waits; returns exit status, standard output and errors of each."""
        said = [process.communicate(timeout=seconds) for process in self.processes]
        statuses = [process.returncode for process in self.processes]
        return [(status, *texts) for status, texts in zip(statuses, said, strict=True)]


def command_line(workdir, variant="baseline", *flags):
    recipe = f"--config={SUPPORT / 'toy_recipe.py'}:{variant}"
    main = [sys.executable, str(SUPPORT / "toy_main.py")]
    return [*main, recipe, f"--workdir={workdir}", *flags]


def environment(devices=1):
    own = {k: v for k, v in os.environ.items() if not k.startswith("JAX_NUMPY")}
    flags = f"--xla_force_host_platform_device_count={devices}"
    # Process 1 finds no program in the cache: JAX keeps those of process 0 alone.
    flags += " --xla_backend_optimization_level=0"
    return {**own, "XLA_FLAGS": flags, "TQDM_DISABLE": "1"}


def free_port():
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


def assert_same(one, other):
    """Every line of the log, and every bit of the last state."""
    assert told(one) == told(other)
    same = np.testing.assert_array_equal
    jax.tree.map(same, newest_items(one), newest_items(other))


def told(workdir):
    return [
        {k: v for k, v in line.items() if "per_second" not in k}
        for line in read_log(workdir)
    ]


def newest_items(workdir):
    return items_of(workdir, checkpoint.newest_step(workdir))


def items_of(workdir, step):
    """All arrays of a checkpoint."""
    directory = workdir / checkpoint.FOLDER
    with open_read_only(directory) as manager:
        handler = ocp.PyTreeCheckpointHandler()
        shapes = {x: handler.metadata(directory / str(step) / x).tree for x in ITEMS}
        return read_items(manager, step, shapes)


def nobody_is_left(scratch, seconds=15):
    """Waits for all processes with this TMPDIR to see that their parent was killed."""
    until = time.monotonic() + seconds
    while left := [*started_in(scratch)]:
        assert time.monotonic() < until, f"orphans: {left}"
        time.sleep(0.1)


def started_in(scratch):
    """Numbers of the processes with this TMPDIR."""
    variable = f"TMPDIR={scratch}".encode()
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or is somebody else's
            environment = (process / "environ").read_bytes().split(b"\0")
            if variable in environment and process.name != str(os.getpid()):
                yield process.name
