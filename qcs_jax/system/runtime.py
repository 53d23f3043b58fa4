"""The numerical stack: its settings, its versions, and its programs on disk."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

_FLAG = "--xla_cpu_experimental_ynn_fusion_type"
_WRONG = "0.10.2"
# A jaxlib that does not know the flag ends the process: these do.
_INEXACT = (_WRONG, "0.11.0", "0.11.1", "0.11.2", "0.12.0", "0.12.0.1")

# What the numbers depend on.
_PACKAGES = ("qcs_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")

# Seconds of compilation from which a program is worth a file. JAX's own default, a
# second, would leave out small networks.
_WORTH_KEEPING = 0.2


def guard() -> None:
    """Turns off a fusion of jaxlib that is inexact on CPUs, and wrong in 0.10.2.

    With it, some shapes silently give wrong results in 0.10.2; later versions have that
    mended, but the norm of the published network's gradient is off by 3e-5, without it
    by less than 2e-5. A version that was not tried is left alone, and so is a value
    that the user has set.
    """
    flags, jaxlib = os.environ.get("XLA_FLAGS", ""), _version("jaxlib")
    if jaxlib not in _INEXACT or _FLAG in flags:
        return
    os.environ["XLA_FLAGS"] = f"{flags} {_FLAG}=".strip()
    started = jaxlib == _WRONG and _started()
    if started and sys.modules["jax"].default_backend() == "cpu":
        warnings.warn(
            f"JAX started before qcs_jax was imported: on CPUs jaxlib {_WRONG} may "
            f"then give wrong numbers. Import qcs_jax first, or set "
            f"XLA_FLAGS={_FLAG}= in the environment.",
            RuntimeWarning,
            stacklevel=3,
        )


@contextlib.contextmanager
def on_cpu() -> Iterator[None]:
    """Computes on the CPU while the block runs, whatever else this machine has.

    A process in which JAX has not started computes there from now on, and takes nothing
    of a GPU's memory. In one where it has, only the block does.
    """
    import jax

    if not _started():
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # TensorFlow would take one, too
        jax.config.update("jax_platforms", "cpu")
    with jax.default_device("cpu"):
        yield


def _started() -> bool:
    bridge = sys.modules.get("jax._src.xla_bridge")
    return getattr(bridge, "backends_are_initialized", lambda: False)()


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that do the computing.

    Those of a checkout also say its commit.
    """
    numbers = {"python": platform.python_version(), "commit": _commit()}
    return numbers | {package: _version(package) for package in _PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # as in a bare checkout
        return "unknown"


@functools.cache
def _commit() -> str:
    """The commit of the checkout that this file is in; "unknown" outside of one."""
    checkout = pathlib.Path(__file__).parents[2]
    if not (checkout / "pyproject.toml").exists():  # installed, perhaps within another
        return "unknown"
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    except OSError:  # no git
        return "unknown"
    return done.stdout.strip() or "unknown"


def enable_compilation_cache() -> None:
    """Turns on JAX's persistent compilation cache, in the user's cache directory.

    A cache that the user has set up (`JAX_COMPILATION_CACHE_DIR`, `jax.config`) is
    left as it is. Where nothing can be written there is no cache, and no complaint.
    """
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    config: Any = jax.config
    if config.jax_compilation_cache_dir or not config.jax_enable_compilation_cache:
        return
    directory = _directory()
    if directory is None:
        return
    config.update("jax_compilation_cache_dir", str(directory))
    config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_KEEPING)
    # JAX asks once, at its first compilation, whether there is a cache.
    compilation_cache.reset_cache()


def _directory() -> pathlib.Path | None:
    """`$XDG_CACHE_HOME/qcs_jax/programs/CPU`, made if need be; None if not writable."""
    try:
        base = pathlib.Path(os.environ.get("XDG_CACHE_HOME", ""))
        if not base.is_absolute():  # so says the XDG specification
            base = pathlib.Path.home() / ".cache"
        directory = base / "qcs_jax" / "programs" / _processor()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return directory
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        return None


def _processor() -> str:
    """Names the kind of CPU: a home may be shared by machines, instructions are not."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = [f"flags : {platform.processor()}"]
    names = ("flags", "Features")  # as x86 and ARM call it
    features = {line for line in lines if line.startswith(names)}
    digest = hashlib.sha256("\n".join(sorted(features)).encode()).hexdigest()
    return f"{platform.machine()}-{digest[:12]}"
