"""What was tried and what was survived."""

import contextlib
import sys
import traceback


class Tally:
    """Rows of a table, in the order in which they began."""

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
