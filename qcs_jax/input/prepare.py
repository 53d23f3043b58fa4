"""Prepares a data set for training, as `data/prepare.py` does in a checkout.

qcs-jax prepare synthetic_faces
qcs-jax prepare fer2013 --manual_dir=~/downloads/fer2013
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from qcs_jax.system import command, files


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""

    def prepare() -> int:
        # The builders import each other by bare names, as Python lets them where
        # data/prepare.py is started.
        sys.path.insert(0, str(files.packaged("data")))
        return importlib.import_module("prepare").main(argv)

    return command.run(prepare)
