"""Settings of the numerical stack that must be in place before it starts."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import sys
import warnings
from collections.abc import Iterator

_FLAG = "--xla_cpu_experimental_ynn_fusion_type"
_AFFECTED_JAXLIB = "0.10.2"


def guard() -> None:
    """Turns off a fusion of jaxlib 0.10.2 that makes wrong numbers on CPUs.

    With it some shapes silently give wrong results and convolutions are slower. Other
    versions of jaxlib are left alone, since they refuse a flag that they do not know,
    and so is a value that the user has set.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _jaxlib_version() != _AFFECTED_JAXLIB or _FLAG in flags:
        return
    os.environ["XLA_FLAGS"] = f"{flags} {_FLAG}=".strip()
    if _started() and sys.modules["jax"].default_backend() == "cpu":
        warnings.warn(
            f"JAX started before qcs_jax was imported: on CPUs jaxlib "
            f"{_AFFECTED_JAXLIB} may then give wrong numbers. Import qcs_jax first, or "
            f"set XLA_FLAGS={_FLAG}= in the environment.",
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


def _jaxlib_version() -> str | None:
    try:
        return importlib.metadata.version("jaxlib")
    except importlib.metadata.PackageNotFoundError:
        return None


def _started() -> bool:
    bridge = sys.modules.get("jax._src.xla_bridge")
    return getattr(bridge, "backends_are_initialized", lambda: False)()
