"""Writes the page about an evaluated run.

python -m qcs_jax.report RUN [--data_dir=DIR]
"""

from __future__ import annotations

import argparse
import pathlib
import sys

from qcs_jax.errors import UserError


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns its exit status, 1 after an error of the user's."""
    parser = argparse.ArgumentParser(
        prog="python -m qcs_jax.report", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("run", type=pathlib.Path, help="workdir of an evaluated run")
    parser.add_argument("--data_dir", default="", help="root of prepared data sets")
    args = parser.parse_args(argv)
    try:
        from qcs_jax.report import page

        print(f"written to {page.write(args.run, args.data_dir)}")
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
