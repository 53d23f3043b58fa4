"""The long campaign of faults: `make faults`, about half an hour on two cores.

Kills training with -9 at random moments, damages checkpoints in every file, and gives
the reader of PyTorch files 10,000 broken ones. Prints a table of what was tried and
what was survived; the status is 1 if they differ.
"""

import argparse
import contextlib
import pathlib
import random
import sys
import tempfile
import time
import traceback

from absl import logging

TESTS = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(TESTS / "support"), str(TESTS.parent)]

import damage  # noqa: E402
import kills  # noqa: E402


class Tally:
    """What was tried and what was survived, in the order in which it began."""

    def __init__(self):
        self._rows = {}

    @contextlib.contextmanager
    def one(self, fault):
        """Counts one fault, survived unless something is raised inside; tells it."""
        row = self._rows.setdefault(fault, [0, 0])
        row[0] += 1
        try:
            yield
            row[1] += 1
        except Exception:
            print(f"not survived: {fault}", file=sys.stderr)
            traceback.print_exc()
        print(f"\r{self._rows[fault][0]} {fault:60}", end="", flush=True)

    def many(self, fault, tried, survived):
        """Counts faults that were counted elsewhere."""
        self._rows[fault] = [tried, survived]

    @property
    def all_survived(self):
        return all(tried == survived for tried, survived in self._rows.values())

    def __str__(self):
        width = max(map(len, self._rows), default=0)
        lines = [f"{'fault':{width}}  tried  survived"]
        for fault, (tried, survived) in self._rows.items():
            lines.append(f"{fault:{width}}  {tried:5}  {survived:8}")
        return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    add = parser.add_argument
    add("--kills", type=int, default=100, help="of one process; default: 100")
    add("--pairs", type=int, default=10, help="of one of two; default: 10")
    add("--damages", type=int, default=200, help="of checkpoints; default: 200")
    add("--files", type=int, default=10_000, help=".pth, broken; default: 10000")
    add("--seed", type=int, default=0, help="of all that is random; default: 0")
    args = parser.parse_args()
    logging.set_verbosity(logging.FATAL)  # Orbax warns of folders that are only read
    tally, began = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = pathlib.Path(name)
        draw = random.Random(f"{args.seed} kills")
        kills.alone(tally, folder / "kills", args.kills, draw)
        draw = random.Random(f"{args.seed} pairs")
        kills.of_two(tally, folder / "pairs", args.pairs, draw)
        draw = random.Random(f"{args.seed} damages")
        damage.checkpoints(tally, folder / "damages", args.damages, draw)
    damage.files(tally, args.files, args.seed)
    print(f"\n{tally}\n{(time.monotonic() - began) / 60:.0f} minutes")
    return 0 if tally.all_survived else 1


if __name__ == "__main__":
    sys.exit(main())
