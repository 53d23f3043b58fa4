"""Writes the page about an evaluated run.

qcs-jax report RUN [--data_dir=DIR]
"""

from __future__ import annotations

import argparse
import pathlib

from qcs_jax.system import command


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status, 1 after an error of the user's."""
    parser = argparse.ArgumentParser(
        prog="qcs-jax report", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("run", type=pathlib.Path, help="workdir of an evaluated run")
    parser.add_argument("--data_dir", default="", help="root of prepared data sets")
    args = parser.parse_args(argv)
    return command.run(lambda: _write(args))


def _write(args: argparse.Namespace) -> None:
    from qcs_jax.figures import page  # matplotlib and others are an extra

    print(f"written to {page.write_page(args.run, args.data_dir)}")
