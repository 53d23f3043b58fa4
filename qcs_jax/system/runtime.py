"""Settings of the numerical stack that must be in place before it starts."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import warnings

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
    if _backend_has_started():
        warnings.warn(
            f"JAX started before qcs_jax was imported: on CPUs jaxlib "
            f"{_AFFECTED_JAXLIB} may then give wrong numbers. Import qcs_jax first, or "
            f"set XLA_FLAGS={_FLAG}= in the environment.",
            RuntimeWarning,
            stacklevel=3,
        )


def _jaxlib_version() -> str | None:
    try:
        return importlib.metadata.version("jaxlib")
    except importlib.metadata.PackageNotFoundError:
        return None


def _backend_has_started() -> bool:
    bridge = sys.modules.get("jax._src.xla_bridge")
    started = getattr(bridge, "backends_are_initialized", lambda: False)()
    return started and sys.modules["jax"].default_backend() == "cpu"
