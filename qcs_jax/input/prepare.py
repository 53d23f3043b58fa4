"""Prepares a data set for training, as `data/prepare.py` does in a checkout.

qcs-jax prepare synthetic_faces
qcs-jax prepare fer2013 --manual_dir=~/downloads/fer2013
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType

import qcs_jax
from qcs_jax.system import command, files


def builders(module: str) -> ModuleType:
    """Imports a module of `data/`, which a wheel has inside of the package.

    A checkout has it beside the package, whose modules are looked for there, too.
    """
    beside = str(files.packaged("data").parent)
    if beside not in qcs_jax.__path__:
        qcs_jax.__path__.append(beside)
    return importlib.import_module(f"qcs_jax.data.{module}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    return command.run(lambda: builders("command").main(argv))
