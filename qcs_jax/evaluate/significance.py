"""When a difference is called one."""

from __future__ import annotations

from collections.abc import Sequence

SIGNIFICANT = 0.05  # p-values below


def holm(p: Sequence[float]) -> list[float]:
    """Corrects the p-values of several tests for their number (Holm, 1979).

    The smallest counts as often as there are tests, the next once less, and none is
    smaller than one before it. Calling those below `SIGNIFICANT` differences keeps the
    probability of any false one below that, however the tests depend on each other.
    """
    corrected, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        least = max(least, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = least
    return corrected
