"""Whether a network does better for some groups than for others, or chance does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qcs_jax.evaluate.significance import SIGNIFICANT

PERMUTATIONS = 10_000


def largest_gap(
    names: Sequence[str],
    images: np.ndarray,
    hits: np.ndarray,
    *,
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> dict:
    """Finds the largest gap of accuracy between groups, and tests it.

    A group that has more images of easy classes has a higher accuracy with any network.
    That is no unfairness of the network, so each group is compared with what the same
    classes get over all groups: `difference = accuracy - expected`, where `expected`
    counts every image with the recall of its class. The gap at equal classes is the
    largest difference less the smallest. Where all groups have the same classes it is
    the gap of accuracies itself.

    The test permutes the images' groups within each class, which changes neither the
    sizes nor the classes of groups. It asks how often the gap at equal classes between
    *any* two groups becomes as large as it is: so it accounts for the number of pairs
    that were looked at. Hits of a class that fall to groups at random have a
    multivariate hypergeometric distribution, so the counts suffice.

    A group of few images makes large gaps by chance, and hides small ones between large
    groups: leave small groups out.

    Args:
      names: G groups, 2 or more.
      images: int `[k, G]`, images by class and group; each group has some.
      hits: int `[k, G]`, those with the right answer.
      seed: Seed of the permutations.
      permutations: Their number.

    Returns:
      highest and lowest: the groups with most and least accuracy; gap: the difference;
      by_classes: the gap that their classes alone would make between any two groups;
      equal_classes: highest, lowest and gap at equal classes; by_chance: the mean of
      that over the permutations; p: see `permutations`, `(1 + as large) / (1 + all)`.
    """
    sizes = images.sum(axis=0)
    recall = hits.sum(axis=1) / np.maximum(images.sum(axis=1), 1)
    expected = recall @ images / sizes
    accuracy = hits.sum(axis=0) / sizes
    difference = accuracy - expected
    rng = np.random.default_rng(seed)
    drawn = np.zeros((permutations, len(names)))
    for of_class, hit in zip(images, hits.sum(axis=1), strict=True):
        drawn += rng.multivariate_hypergeometric(of_class, hit, size=permutations)
    by_chance = np.ptp(drawn / sizes - expected, axis=1)
    # What is equal in counts may differ in the last digit.
    as_large = int(np.sum(by_chance >= np.ptp(difference) - 1e-12))
    return {
        **_ends(names, accuracy),
        "by_classes": float(np.ptp(expected)),
        "equal_classes": _ends(names, difference),
        "by_chance": float(by_chance.mean()),
        "p": (1 + as_large) / (1 + permutations),
    }


def sentence(gap: Mapping, tests: int) -> str:
    """Returns what follows from `largest_gap` with a `corrected_p`, in words.

    Args:
      gap: The gap of one column.
      tests: How many columns were tested.
    """
    classes = f"their classes alone would make {100 * gap['by_classes']:.1f}"
    found = f"Largest gap of accuracy: {_points(gap)} ({classes}). At equal classes: "
    found += f"{_points(gap['equal_classes'])}."
    p = f"p = {gap['p']:.2g}"
    if tests > 1:
        p += f", corrected for {tests} columns {gap['corrected_p']:.2g}"
    if gap["corrected_p"] >= SIGNIFICANT:
        told = "This cannot be told from chance: a gap as large as this comes"
        return f"{found} {told} by chance with {p}."
    told = "This is more than chance: if the network treated all groups alike, a gap as"
    return f"{found} {told} large as this would come with {p}."


def _ends(names: Sequence[str], values: np.ndarray) -> dict:
    return {
        "highest": names[int(np.argmax(values))],
        "lowest": names[int(np.argmin(values))],
        "gap": float(np.ptp(values)),
    }


def _points(ends: Mapping) -> str:
    if not ends["gap"]:
        return "none"
    return f"{100 * ends['gap']:.1f} points, {ends['highest']} above {ends['lowest']}"
