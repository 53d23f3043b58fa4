"""Settings of all tests: eight CPU devices, no implicit conversions."""

import ctypes
import getpass
import os
import pathlib
import signal
import tempfile

import pytest

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = " ".join(
    (os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=8")
)
USER = getattr(os, "getuid", getpass.getuser)()
# The same programs are compiled again and again, most of them single operations: all
# are kept, however small, for the other modules, workers and commands.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    str(pathlib.Path(tempfile.gettempdir()) / f"qcs_jax_tests_{USER}"),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"

# What a shell starts in the background ignores Ctrl-C, and so would all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

import qcs_jax  # noqa: E402, F401 (sets flags before JAX starts)

PROCESS = pathlib.Path("/proc/self")
MOST_MAPS = 40_000  # of the 65,530 that Linux gives a process
MOST_BYTES = 2**30


def memory() -> int:
    """Bytes of this process, after what is free went back to the system."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim:
        trim(0)
    pages = (PROCESS / "statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Unloads what has been compiled where the process comes near to a limit.

    Each program holds memory and many memory maps: those of all tests are too many.
    """
    yield
    if not PROCESS.exists():
        return
    maps = (PROCESS / "maps").read_bytes().count(b"\n")
    if maps > MOST_MAPS or memory() > MOST_BYTES:
        import jax  # not before the settings above

        jax.clear_caches()
        memory()
