"""Compiled programs on disk, so that the next process need not compile them again."""

from __future__ import annotations

import hashlib
import os
import pathlib
import platform
import tempfile
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

# Seconds of compilation from which a program is worth a file. JAX's own default, a
# second, would leave out small networks.
_WORTH_KEEPING = 0.2


def enable() -> None:
    """Turns on JAX's persistent compilation cache, in the user's cache directory.

    A cache that the user has set up (`JAX_COMPILATION_CACHE_DIR`, `jax.config`) is
    left as it is. Where nothing can be written there is no cache, and no complaint.
    """
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
