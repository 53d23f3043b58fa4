"""Several processes that do one piece of work: they begin, stop and fail together.

JAX's coordination service, which runs in process 0, brings them together. A signal to
any of them goes to its preemption service, which names the step before which all stop.
Each process asks it who is alive, so that none waits for one that is gone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from qcs_jax.system import signals
from qcs_jax.system.errors import Interrupted, UserError, first_line

GONE = 75  # exit status when another process is lost, EX_TEMPFAIL of sysexits.h

_START = 300  # seconds in which all processes have to be there
_LEAVE = 5.0  # seconds in which others may come to the same error as process 0
_TOGETHER = 24 * 3600  # seconds in which all have to be done once one is

# A record begins with its severity, time and source file: "E1127 14:57:46.130289 ...".
_RECORD = re.compile(rb"[IWEF]\d{4} \d\d:\d\d:\d\d\.")
_OF_LOSSES = re.compile(rb" (coordination_service|preemption_|client\.h|add_port)")
# Lines that go on with a warning: an error of gRPC, the places that it passed, and what
# the warning has to say after it.
_DETAILS = re.compile(
    rb"Additional GRPC|:[A-Z_]+:|=== Source Loc|\S+\.(cc|h):\d+$|\. This is only exp"
)


@dataclasses.dataclass(frozen=True)
class Meeting:
    """How processes find each other.

    Without the first three fields the cluster says them: mpirun, Slurm, Kubernetes and
    TPU pods.
    """

    coordinator: str | None = None  # HOST:PORT of process 0
    processes: int | None = None
    process: int | None = None  # number of this one, from 0
    patience: int = 30  # seconds without a sign of life after which one is lost

    @contextlib.contextmanager
    def together(self, after_loss: Callable[[], str]) -> Iterator[None]:
        """Meets the others, and leaves with them when the block ends.

        In the block only process 0 prints to standard output. If another process is
        lost, this one says so in one line, with how to go on after it, and ends with
        the status `GONE`, wherever it is.

        Raises:
          UserError: if the others cannot be found.
        """
        import jax

        watch = _Watch(self.patience, after_loss)

        def aborting() -> None:
            if watch.started:
                watch.end([0])
            else:
                _exit(1, self._not_met(f"not all were there in {_START} seconds"))

        with without_losses(on_abort=aborting):
            self._meet()
            watch.start()
            with contextlib.ExitStack() as stack:
                if jax.process_index():
                    nowhere = stack.enter_context(open(os.devnull, "w"))
                    stack.enter_context(contextlib.redirect_stdout(nowhere))
                try:
                    yield
                    watch.all_done()
                except Interrupted as stopped:
                    watch.leave(self.patience if stopped.saved else _LEAVE)
                    raise
                except (UserError, OSError, FloatingPointError, KeyboardInterrupt):
                    watch.leave(_LEAVE)
                    raise
                except Exception:
                    watch.wait()  # it ends this process if a lost one is the reason
                    raise
                else:
                    watch.leave(self.patience)

    def _meet(self) -> None:
        import jax

        # Else the loss of any process aborts the others before they can say so.
        jax.config.update("jax_enable_recoverability", True)
        try:
            jax.distributed.initialize(
                self.coordinator,
                self.processes,
                self.process,
                # One process uses all its devices, unless the cluster knows better.
                cluster_detection_method="deactivate" if self.coordinator else None,
                initialization_timeout=_START,
                heartbeat_timeout_seconds=self.patience,
            )
            jax.devices()  # what each has to offer is told to all
        except (ValueError, TypeError) as error:
            if self.coordinator is not None:
                raise UserError(self._not_met(str(error))) from error
            raise UserError(
                "no cluster was found (mpirun, Slurm, Kubernetes or a TPU pod): start "
                "each process with --coordinator=HOST:PORT --processes=N --process=I"
            ) from error
        except RuntimeError as error:
            raise UserError(self._not_met(first_line(error))) from error

    def _not_met(self, why: str) -> str:
        return (
            f"the processes cannot meet at {self.coordinator or 'process 0'}: {why}. "
            f"That port must be free in process 0 and reached from all others, and "
            f"every process be started"
        )


class AgreedInterrupt(signals.Interrupt):
    """A signal to any process stops all of them before the same step."""

    # SIGTERM is left to JAX, which tells the other processes.
    signals = tuple(x for x in signals.STOPPING if x != signal.SIGTERM)

    def due(self, step: int) -> bool:
        """Whether all stop before `step`; every process asks before every step."""
        from jax.experimental import multihost_utils

        return multihost_utils.reached_preemption_sync_point(step)

    def agreed(self) -> int:
        """The number of a signal that stopped them, the same in all processes."""
        import numpy as np
        from jax.experimental import multihost_utils

        mine = np.int32(self.signum or 0)
        return int(multihost_utils.process_allgather(mine).max()) or signal.SIGTERM

    def _note(self, signum: int, frame: object) -> None:
        super()._note(signum, frame)
        signal.raise_signal(signal.SIGTERM)


def interrupt() -> signals.Interrupt:
    """What stops the work of this process, with all others where there are any."""
    import jax

    return AgreedInterrupt() if jax.process_count() > 1 else signals.Interrupt()


class _Watch:
    """A thread that sees who is lost."""

    def __init__(self, patience: int, after_loss: Callable[[], str]):
        self._patience, self._after_loss = patience, after_loss
        self._done, self._until = threading.Event(), 0.0
        self._ending, self.started = threading.Lock(), False
        self._thread = threading.Thread(target=self._look, daemon=True)

    def start(self) -> None:
        """Begins, once all processes have met."""
        import jax
        from jax._src import distributed  # there is no public way to its client

        self._client: Any = distributed.global_state.client
        self._me, self._count = jax.process_index(), jax.process_count()
        self._thread.start()
        self.started = True

    def all_done(self) -> None:
        """Returns when all processes have called it."""
        self._client.wait_at_barrier("qcs_jax/done", _TOGETHER * 1000)

    def wait(self) -> None:
        """Returns if no process is found to be lost for a while."""
        self._thread.join(2 * self._patience)

    def leave(self, seconds: float) -> None:
        """Ends the watch; process 0 waits so long for all others to have left."""
        import jax

        self._until = time.monotonic() + seconds
        self._done.set()
        # Who is still there would miss process 0; and Python aborts if it ends while
        # the thread asks.
        self._thread.join(seconds + self._patience)
        jax.distributed.shutdown()

    def _look(self) -> None:
        everyone = range(self._count)
        while True:
            try:
                # Returns when all that are alive have asked.
                alive = set(self._client.get_live_nodes(list(everyone)))
            except Exception:  # process 0, who knows, does not answer
                alive = set(everyone) - {0}
            if self._done.is_set():
                if alive <= {self._me} or self._me or time.monotonic() > self._until:
                    return
            elif lost := sorted(set(everyone) - alive):
                self.end(lost)
            self._done.wait(1)

    def end(self, lost: list[int]) -> None:
        """Says which processes are lost, and ends this one, unless all are done."""
        if self._done.is_set() or not self._ending.acquire(blocking=False):
            return
        names = ", ".join(map(str, lost))
        who = f"process {names} is" if len(lost) == 1 else f"processes {names} are"
        _exit(
            GONE,
            f"{who} gone: killed, out of reach, or ended by an error that was told "
            f"there. {self._after_loss()}",
        )


def _exit(status: int, message: str) -> None:
    """Ends this process from any thread: others may wait for a lost one for ever."""
    sys.stdout.flush()
    print(f"error: {message}", file=sys.stderr, flush=True)
    for child in multiprocessing.active_children():  # that decode images
        child.kill()
    os._exit(status)


@contextlib.contextmanager
def without_losses(on_abort: Callable[[], None]) -> Iterator[None]:
    """Leaves out what the coordination service logs, dumps of its aborts included.

    It writes to the file descriptor. What Python writes to `sys.stderr` goes the
    straight way, to a terminal if there is one. `on_abort` is called, in another
    thread, when the service is about to abort this process.
    """
    sys.stderr.flush()
    before, straight = sys.stderr, os.dup(2)
    read, write = os.pipe()
    os.dup2(write, 2)
    os.close(write)
    raw = os.fdopen(straight, "wb", 0, closefd=False)
    sys.stderr = io.TextIOWrapper(
        raw, before.encoding, before.errors, write_through=True
    )

    def copy() -> None:
        with os.fdopen(read, "rb") as file:
            for line in _kept(iter(file.readline, b""), on_abort):
                os.write(straight, line)

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stderr = before
        os.dup2(straight, 2)  # which ends the pipe, unless a child writes into it
        thread.join(1)


def _kept(lines: Iterable[bytes], on_abort: Callable[[], None]) -> Iterator[bytes]:
    """Yields the lines that are not of records about losses."""
    # What follows an error, or the last record, belongs to it; after a warning, others
    # may speak.
    dropping = False
    for line in lines:
        if _RECORD.match(line):
            about_losses = bool(_OF_LOSSES.search(line))
            dropping = about_losses and line[:1] in b"EF"
            if about_losses and line[:1] == b"F":
                on_abort()
            if about_losses:
                continue
        if not (dropping or _DETAILS.match(line)):
            yield line
