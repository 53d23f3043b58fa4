"""What the answers to every image tell about the rows of a table."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np

from qcs_jax.evaluate import paired, significance
from qcs_jax.evaluate.predictions import Predictions
from qcs_jax.evaluate.rows import Group


@dataclasses.dataclass(frozen=True)
class Versus:
    """A variant minus the one that the others are compared with.

    Attributes:
      label: The other variant.
      seeds: Those that both have.
      difference: The difference, and its p-values as they are.
      p_images: The p-value over images, corrected for the comparisons of the table.
      p_seeds: Likewise over seeds; None for a single seed.
    """

    label: str
    seeds: tuple[int, ...]
    difference: paired.Difference
    p_images: float
    p_seeds: float | None


@dataclasses.dataclass(frozen=True)
class Evidence:
    """How certain the accuracy of a variant is, at the checkpoints that were evaluated.

    Attributes:
      seeds: Those of the evaluated runs.
      accuracy: Mean accuracy, with its intervals.
      versus: The comparison with another variant, if there is one.
    """

    seeds: tuple[int, ...]
    accuracy: paired.Certainty
    versus: Versus | None = None


@dataclasses.dataclass(frozen=True)
class _Answers:
    """Which images a group was right about.

    Attributes:
      images: `id` and class of each, in order.
      correct: bool `[n]` by seed.
    """

    images: tuple[tuple[str, str], ...]
    correct: dict[int, np.ndarray]

    def of(self, seeds: Sequence[int]) -> np.ndarray:
        """Returns bool `[s, n]`."""
        return np.stack([self.correct[seed] for seed in seeds])


def gather(
    groups: Sequence[Group], against: str | None = None
) -> tuple[list[Evidence | None], list[str]]:
    """Reads the answers of all runs that count, and compares.

    Args:
      groups: The rows.
      against: Label of the row that others of its data set and setting are compared
        with; None: they are not.

    Returns:
      One for every group, None where no run of it was evaluated; and what could not be
      compared.
    """
    notes: list[str] = []
    answers = [_answers(group, notes) for group in groups]
    others = {
        (g.dataset, g.setting): found
        for g, found in zip(groups, answers, strict=True)
        if g.label == against
    }
    found: list[Evidence | None] = []
    for group, own in zip(groups, answers, strict=True):
        if own is None:
            found.append(None)
            continue
        seeds = tuple(own.correct)
        evidence = Evidence(seeds, paired.accuracy(own.of(seeds)))
        other = others.get((group.dataset, group.setting))
        if against is not None and other is not None and group.label != against:
            versus = _versus(group, own, against, other, notes)
            evidence = dataclasses.replace(evidence, versus=versus)
        found.append(evidence)
    return _corrected(found), notes


def _answers(group: Group, notes: list[str]) -> _Answers | None:
    """Puts the images of all runs into one order."""
    images: tuple[tuple[str, str], ...] = ()
    correct = {}
    for run in group.counted:
        predictions = run.predictions()
        if predictions is None:
            continue
        if len(set(predictions.ids)) < len(predictions.ids):
            twice = max(Counter(predictions.ids).items(), key=lambda item: item[1])[0]
            notes.append(f"not compared, {twice!r} occurs twice: {run.workdir}")
            continue
        own, right = _in_order(predictions)
        images = images or own
        if own != images:
            notes.append(f"not compared, tested on other images: {run.workdir}")
            continue
        correct[run.config["seed"]] = right
    return _Answers(images, correct) if correct else None


def _in_order(
    predictions: Predictions,
) -> tuple[tuple[tuple[str, str], ...], np.ndarray]:
    order = sorted(range(len(predictions.ids)), key=predictions.ids.__getitem__)
    names = predictions.class_names
    images = tuple((predictions.ids[i], names[predictions.labels[i]]) for i in order)
    return images, predictions.correct[order]


def _versus(
    group: Group, own: _Answers, against: str, other: _Answers, notes: list[str]
) -> Versus | None:
    seeds = tuple(seed for seed in own.correct if seed in other.correct)
    if own.images != other.images:
        notes.append(f"{group.label} and {against} were tested on different images")
    elif not seeds:
        notes.append(f"{group.label} and {against} have no seed in common")
    else:
        found = paired.difference(own.of(seeds), other.of(seeds))
        return Versus(against, seeds, found, found.p_images, found.p_seeds)
    return None


def _corrected(found: Sequence[Evidence | None]) -> list[Evidence | None]:
    """Corrects the p-values for the number of comparisons, of either kind."""
    tests = [x.versus for x in found if x and x.versus]
    images = iter(significance.holm([test.p_images for test in tests]))
    seeds = iter(significance.holm([t.p_seeds for t in tests if t.p_seeds is not None]))

    def of(test: Versus) -> Versus:
        p_seeds = None if test.p_seeds is None else next(seeds)
        return dataclasses.replace(test, p_images=next(images), p_seeds=p_seeds)

    return [
        dataclasses.replace(x, versus=of(x.versus)) if x and x.versus else x
        for x in found
    ]
