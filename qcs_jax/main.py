"""Trains or evaluates a configuration.

    python -m qcs_jax.main --config=configs/demo.py [--workdir=DIR] [--mode=train|eval]

Any field of the configuration can be set: --config.train.epochs=10.
"""

from __future__ import annotations

import shlex
import sys

import jax
from absl import app, flags, logging
from ml_collections import config_flags

from qcs_jax.config import flags as flag_errors

_CONFIG = config_flags.DEFINE_config_file("config", help_string="Configuration file.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Default: runs/<name>.")
_MODE = flags.DEFINE_enum("mode", "train", ["train", "eval"], "What to do.")
_MULTIHOST = flags.DEFINE_bool("multihost", False, "One of several processes.")
flags.mark_flag_as_required("config")


def main(argv: list[str]) -> None:
    # Imported here, so that --help and a wrong flag answer at once.
    from qcs_jax.train import entry

    del argv
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    if _MULTIHOST.value:
        jax.distributed.initialize()
    workdir = _WORKDIR.value or f"runs/{_CONFIG.value.name}"
    command = shlex.join(["python", "-m", "qcs_jax.main", *sys.argv[1:]])
    sys.exit(entry.run(_MODE.value, _CONFIG.value, workdir, command))


def _parse_flags(argv: list[str]) -> list[str]:
    """absl's parser; what is wrong in a configuration is one line, not a traceback."""
    try:
        rest = flags.FLAGS(argv)
        _ = _CONFIG.value.name  # a file that could not be read says so only now
    except Exception as error:  # a configuration's file may raise anything
        print(f"error: {flag_errors.message(error)}", file=sys.stderr)
        print("python -m qcs_jax.main --help lists the flags", file=sys.stderr)
        sys.exit(2)
    return rest


if __name__ == "__main__":
    app.run(main, flags_parser=_parse_flags)
