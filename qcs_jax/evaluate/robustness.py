"""What is reported of accuracies on worse images (Hendrycks and Dietterich, 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def summary(accuracy: Mapping[str, Sequence[float]], clean: float) -> dict:
    """Returns what `metrics.json` has under "robustness".

    Args:
      accuracy: Corruption -> accuracy at each severity.
      clean: Accuracy on the images as they are.

    Returns:
      accuracy; mean: over corruptions and severities ("mean corruption accuracy");
      kept: the part of the clean accuracy that this is, None if that is 0.
    """
    mean = float(np.mean(list(accuracy.values())))
    return {
        "accuracy": {name: list(values) for name, values in accuracy.items()},
        "clean": clean,
        "mean": mean,
        "kept": mean / clean if clean else None,
    }


def table(found: Mapping) -> str:
    """Returns what the terminal shows of `summary`, in percent."""
    accuracy = found["accuracy"]
    width = max(map(len, ["corruption", *accuracy]))
    count = len(next(iter(accuracy.values())))
    heads = "".join(f"{f'severity {i + 1}':>12}" for i in range(count))
    lines = [f"  {'corruption':<{width}}{heads}{'mean':>8}"]
    for name, values in accuracy.items():
        cells = "".join(f"{100 * value:12.1f}" for value in values)
        lines.append(f"  {name:<{width}}{cells}{100 * np.mean(values):8.1f}")
    kept = "" if found["kept"] is None else f", {found['kept']:.0%} of it"
    lines.append(
        f"  mean corruption accuracy {100 * found['mean']:.1f}, without corruption "
        f"{100 * found['clean']:.1f}{kept}"
    )
    return "\n".join(lines)
