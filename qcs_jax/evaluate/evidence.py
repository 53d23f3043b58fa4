"""How certain the accuracies of variants are, and their differences, by images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from qcs_jax.evaluate import significance
from qcs_jax.evaluate.runs import Variant

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
    answers = [_answers(variant, notes) for variant in variants]
    references = {
        (variant.dataset, variant.setting): reference
        for variant, reference in zip(variants, answers, strict=True)
        if variant.label == against
    }
    rows = []
    for variant, own in zip(variants, answers, strict=True):
        dataset, setting, label = variant.dataset, variant.setting, variant.label
        row: dict = {"dataset": dataset, "setting": setting, "variant": label}
        if own is not None:
            row["seeds"] = " ".join(map(str, own))
            row |= _percent("accuracy", "", significance.accuracy(_correct(own, own)))
            reference = references.get((dataset, setting))
            if against is not None and reference is not None and label != against:
                row |= _versus(label, own, against, reference, notes)
        rows.append(row)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    for p in ("p_images", "p_seeds"):
        frame[f"{p}_corrected"] = significance.holm(frame[p])
    return frame, notes


def _answers(variant: Variant, notes: list[str]) -> pd.DataFrame | None:
    """Which images (rows, by id and class) the run of each seed was right about."""
    by_seed: dict[int, pd.Series] = {}
    for seed, run in variant.counted.items():
        predictions = run.predictions()
        if predictions is None:
            continue
        images = predictions.by_image().sort_index()
        if images.index.has_duplicates:
            twice = images.index[images.index.duplicated()][0]
            notes.append(f"not compared, {twice!r} occurs twice: {run.workdir}")
            continue
        correct = images.set_index("class", append=True)["correct"]
        if by_seed and not correct.index.equals(next(iter(by_seed.values())).index):
            notes.append(f"not compared, tested on other images: {run.workdir}")
            continue
        by_seed[seed] = correct
    return pd.DataFrame(by_seed) if by_seed else None


def _versus(
    label: str,
    own: pd.DataFrame,
    against: str,
    reference: pd.DataFrame,
    notes: list[str],
) -> dict:
    seeds = [seed for seed in own if seed in reference]
    if not own.index.equals(reference.index):
        notes.append(f"{label} and {against} were tested on different images")
    elif not seeds:
        notes.append(f"{label} and {against} have no seed in common")
    else:
        difference = significance.difference(
            _correct(own, seeds), _correct(reference, seeds)
        )
        return {
            "against": against,
            "common_seeds": " ".join(map(str, seeds)),
            **_percent("difference", "difference_", difference),
            **{name: difference[name] for name in ("p_images", "p_seeds")},
        }
    return {}


def _correct(answers: pd.DataFrame, seeds: Iterable[int]) -> np.ndarray:
    """Returns bool `[s, n]`."""
    return answers[[*seeds]].to_numpy().T


def _percent(name: str, prefix: str, certainty: dict[str, float]) -> dict[str, float]:
    ends = {f"{prefix}{end}": 100 * certainty[end] for end in _ENDS}
    return {name: 100 * certainty["mean"]} | ends
