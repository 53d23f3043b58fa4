"""Packages that prediction does without, and the extras that bring them."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator

from qcs_jax.system.errors import UserError

# Extra -> what it is for, and the modules of it that are imported.
_EXTRAS = {
    "train": (
        "training, its checkpoints and data sets need",
        ("grain", "optax", "orbax", "pandas", "tensorboardX", "tensorflow_datasets"),
    ),
    "video": ("files of videos need", ("av",)),
    "hub": ("networks of the Hub need", ("huggingface_hub",)),
    "serve": (
        "services need",
        ("starlette", "uvicorn", "python_multipart", "prometheus_client"),
    ),
    "report": ("figures and the report need", ("jinja2", "matplotlib", "sklearn")),
}


@contextlib.contextmanager
def named() -> Iterator[None]:
    """Names the extra that brings what is imported inside and is not installed.

    Raises:
      UserError: in place of ModuleNotFoundError, for a package of an extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        for extra, (_, modules) in _EXTRAS.items():
            if module in modules:
                raise _missing(module, extra) from error
        raise


def require(extra: str) -> None:
    """Raises UserError unless all of an extra is installed; imports nothing."""
    for module in _EXTRAS[extra][1]:
        if importlib.util.find_spec(module) is None:
            raise _missing(module, extra)


def _missing(module: str, extra: str) -> UserError:
    return UserError(f'{_EXTRAS[extra][0]} {module}: pip install "qcs_jax[{extra}]"')
