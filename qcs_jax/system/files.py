"""One process at a time in a run's folder."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

from qcs_jax.system.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: there is no lock
    fcntl = None


@contextlib.contextmanager
def exclusive(workdir: pathlib.Path) -> Iterator[None]:
    """Keeps other processes of this machine from training in `workdir`.

    The system lets go of the lock however the process ends.

    Args:
      workdir: Created if missing.

    Raises:
      UserError: if another process holds it.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    with (workdir / ".lock").open("a") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"another process is training in {workdir}: wait for it, stop it, "
                    f"or give this run a --workdir of its own"
                ) from None
            except OSError:  # a file system that has no locks
                pass
        yield
