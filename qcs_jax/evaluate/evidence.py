"""How certain the accuracies of variants are, and their differences, by images."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from qcs_jax.evaluate import uncertainty
from qcs_jax.evaluate.runs import Variant
from qcs_jax.system.errors import UserError

_ENDS = ["images_low", "images_high", "seeds_low", "seeds_high"]
COLUMNS = [
    *("dataset", "setting", "variant", "seeds", "accuracy", *_ENDS),
    *("against", "common_seeds", "difference", *(f"difference_{x}" for x in _ENDS)),
    *("p_images", "p_images_corrected", "p_seeds", "p_seeds_corrected"),
]


def gather(
    variants: Sequence[Variant], against: str | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Reads the answers of all runs that count, and compares.

    Returns a row of `COLUMNS` for every variant, in percent but for the p-values, which
    are corrected for the number of rows with one; what there is not is NaN. The others
    of its data set and setting are compared with the variant that is labelled
    `against`. And returns what could not be compared.
    """
    notes: list[str] = []
    answers = {(x.dataset, x.setting, x.label): _answers(x, notes) for x in variants}
    rows = []
    for (dataset, setting, label), own in answers.items():
        row: dict = {"dataset": dataset, "setting": setting, "variant": label}
        if own is not None:
            row["seeds"] = " ".join(map(str, own))
            row |= _percent("accuracy", "", uncertainty.accuracy(own.to_numpy().T))
            reference = answers.get((dataset, setting, against or ""))
            if reference is not None and label != against:
                row |= _versus(label, own, against or "", reference, notes)
        rows.append(row)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    for p in ("p_images", "p_seeds"):
        frame[f"{p}_corrected"] = uncertainty.holm(frame[p])
    return frame, notes


def _answers(variant: Variant, notes: list[str]) -> pd.DataFrame | None:
    """Which images (rows, by id and class) the run of each seed was right about."""
    by_seed: dict[int, pd.Series] = {}
    for seed, run in variant.counted.items():
        if (predictions := run.predictions()) is None:
            continue
        try:
            correct = predictions.by_image()
        except UserError as error:
            notes.append(f"not compared, {error}: {run.workdir}")
            continue
        if correct.index.equals(next(iter(by_seed.values()), correct).index):
            by_seed[seed] = correct
        else:
            notes.append(f"not compared, tested on other images: {run.workdir}")
    return pd.DataFrame(by_seed) if by_seed else None


def _versus(
    label: str, own: pd.DataFrame, against: str, other: pd.DataFrame, notes: list[str]
) -> dict:
    """The part of a row that compares it with another, over their common seeds."""
    seeds = [seed for seed in own if seed in other]
    if not own.index.equals(other.index):
        notes.append(f"{label} and {against} were tested on different images")
        return {}
    if not seeds:
        notes.append(f"{label} and {against} have no seed in common")
        return {}
    a, b = own[seeds].to_numpy().T, other[seeds].to_numpy().T
    difference = uncertainty.difference(a, b)
    return {
        "against": against,
        "common_seeds": " ".join(map(str, seeds)),
        **_percent("difference", "difference_", difference),
        **{name: difference[name] for name in ("p_images", "p_seeds")},
    }


def _percent(name: str, prefix: str, certainty: dict[str, float]) -> dict[str, float]:
    ends = {f"{prefix}{end}": 100 * certainty[end] for end in _ENDS}
    return {name: 100 * certainty["mean"]} | ends
