"""How a network does for different groups of people, and whether a gap is chance."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qcs_jax.evaluate import uncertainty
from qcs_jax.evaluate.counts import BINS, UNIT, Counts, bin_of, log_softmax
from qcs_jax.evaluate.group_file import Grouping
from qcs_jax.evaluate.uncertainty import LEVEL, SIGNIFICANT, percentiles, proportion

# With fewer images the interval of an accuracy of 90 % is wider than 17 points, and
# its largest gap to others says more of chance than of the network.
SMALL = 50
PERMUTATIONS = 10_000
_OF_COUNTS = ("accuracy", "mean_class_accuracy", "ece", "nll")


def summary(
    groupings: Sequence[Grouping],
    logits: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    notes: Sequence[str] = (),
) -> dict:
    """Returns what `metrics.json` has under "groups", of logits `[N, k]`.

    level: of intervals; small: groups of fewer images are; notes; columns: of each
    `column`, the number of images `unknown`, `groups` and `gap`.

    A group has its name, examples, small, accuracy, mean_class_accuracy, ece, nll,
    overconfidence (mean confidence less accuracy, below 0 where it is too modest),
    intervals of these five, ece_by_chance (what a calibrated network has of so many
    images, on average), and per_class: examples, recall and interval of every class,
    the last two None where the group has no image of it.

    The gap is between groups that are not small, see `largest_gap`, with corrected_p
    for the number of columns, whether it is significant, and a sentence; None where
    there are no two such groups.
    """
    log_p = log_softmax(logits)
    columns: list[dict[str, Any]] = []
    for grouping in groupings:
        members = grouping.members
        of_group = [
            _group(name, log_p[members == i], labels[members == i], class_names)
            for i, name in enumerate(grouping.names)
        ]
        column = {"column": grouping.column, "unknown": int(np.sum(members < 0))}
        gap = _gap([group for group in of_group if not group["small"]])
        columns.append({**column, "groups": of_group, "gap": gap})
    gaps = [column["gap"] for column in columns if column["gap"]]
    corrected = uncertainty.holm([gap["p"] for gap in gaps])
    for gap, p in zip(gaps, corrected, strict=True):
        gap["corrected_p"] = p
        gap["significant"] = p < SIGNIFICANT
        gap["sentence"] = sentence(gap, len(gaps))
    return {"level": LEVEL, "small": SMALL, "notes": list(notes), "columns": columns}


def _group(
    name: str, log_p: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> dict:
    """The measurements of log p float64 `[N, k]` and labels `[N]`."""
    counts = Counts.of(log_p, labels)
    metrics = counts.metrics()
    total, k = log_p.shape
    rows, of_class = np.arange(total), np.eye(k)[labels]
    confidence, hits = np.exp(log_p.max(axis=1)), log_p.argmax(axis=1) == labels
    # The absolute values of their sums in each bin make the calibration error.
    excess = np.zeros((total, BINS))
    excess[rows, bin_of(confidence)] = confidence - hits
    nll = -log_p[rows, labels]
    summed = np.hstack([of_class * hits[:, None], of_class, nll[:, None], excess])
    drawn = uncertainty.resampled_sums(summed).T
    right, images, [nll], excess = np.split(drawn, [k, 2 * k, 2 * k + 1])
    recall = right / np.maximum(images, 1)
    ece, by_chance = uncertainty.of_calibration_error(
        counts.bins[:, :2] * [1, UNIT], metrics["ece"], abs(excess).sum(0) / total
    )
    correct = np.diag(counts.confusion)
    per_class = [
        {
            "class": class_names[i],
            "examples": x["examples"],
            "recall": x["recall"],
            "interval": proportion(recall[i][images[i] > 0], correct[i], x["examples"]),
        }
        for i, x in enumerate(counts.per_class())
    ]
    return {
        "group": name,
        "examples": total,
        "small": total < SMALL,
        **{key: metrics[key] for key in _OF_COUNTS},
        "ece_by_chance": by_chance,
        "overconfidence": float(confidence.mean() - metrics["accuracy"]),
        "intervals": {
            "accuracy": proportion(right.sum(0) / total, hits.sum(), total),
            "mean_class_accuracy": percentiles(recall.sum(0) / (images > 0).sum(0)),
            "ece": ece,
            "nll": percentiles(nll / total),
            "overconfidence": percentiles(excess.sum(0) / total),
        },
        "per_class": per_class,
    }


def _gap(groups: Sequence[Mapping]) -> dict | None:
    """The largest gap between groups that are to be compared."""
    if len(groups) < 2:
        return None
    rows = [
        [(row["examples"], row["recall"] or 0) for row in group["per_class"]]
        for group in groups
    ]
    images, recall = np.array(rows).T  # by class and group
    counts = images.astype(int), np.rint(recall * images).astype(int)
    return largest_gap([group["group"] for group in groups], *counts)


def largest_gap(
    names: Sequence[str],
    images: np.ndarray,
    hits: np.ndarray,
    *,
    permutations: int = PERMUTATIONS,
) -> dict:
    """Returns the largest gap of accuracy between groups, and whether chance makes it.

    A group with more images of easy classes has a higher accuracy with any network. So
    each is compared with what the same classes get over all groups: `difference =
    accuracy - expected`, where `expected` counts every image with the recall of its
    class. The gap at equal classes is the largest difference less the smallest.

    The test permutes the images' groups within each class, and asks how often the gap
    at equal classes between *any* two groups becomes as large: so it accounts for the
    pairs that were looked at. Hits of a class that fall to groups at random have a
    multivariate hypergeometric distribution, so the counts suffice: of images, and of
    hits among them, int `[k, G]` by class and group.

    Returns highest and lowest: the groups with most and least accuracy; gap: the
    difference; by_classes: the gap that their classes alone would make between any two
    groups; equal_classes: highest, lowest and gap at equal classes; by_chance: the mean
    of that over the permutations; p: `(1 + as large) / (1 + permutations)`.
    """
    sizes = images.sum(axis=0)
    recall = hits.sum(axis=1) / np.maximum(images.sum(axis=1), 1)
    expected = recall @ images / sizes
    accuracy = hits.sum(axis=0) / sizes
    difference = accuracy - expected
    rng = np.random.default_rng(0)
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
    """Says what follows from `largest_gap` with a `corrected_p` for so many tests."""
    measured = (
        f"Largest gap of accuracy: {_points(gap)} (their classes alone would make "
        f"{100 * gap['by_classes']:.1f}). At equal classes: "
        f"{_points(gap['equal_classes'])}."
    )
    p = f"p = {gap['p']:.2g}"
    if tests > 1:
        p += f", corrected for {tests} columns {gap['corrected_p']:.2g}"
    meaning = "cannot be told from chance: a gap as large as this comes by chance"
    if gap["corrected_p"] < SIGNIFICANT:
        meaning = "is more than chance: if the network treated all groups alike, a gap "
        meaning += "as large as this would come"
    return f"{measured} This {meaning} with {p}."


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


def remarks(column: Mapping, small: int) -> list[str]:
    """Returns what is to be said of a column, in sentences."""
    sentences = []
    if any(group["small"] for group in column["groups"]):
        sentences.append(f"* Fewer than {small} images, too few to be compared.")
    if column["unknown"]:
        sentences.append(f"{column['unknown']} images belong to no known group.")
    gap = column["gap"]
    few = f"There are no two groups of {small} images or more to compare."
    return [*sentences, gap["sentence"] if gap else few]


def table(measured: Mapping) -> str:
    """Returns what the terminal shows of `summary`, in percent but for the NLL."""
    import pandas as pd

    parts = []
    for column in measured["columns"]:
        rows = {
            group["group"] + " *" * group["small"]: {
                "images": group["examples"],
                "accuracy": f"{100 * group['accuracy']:.1f}",
                "interval": "{:.1f} to {:.1f}".format(
                    *(100 * end for end in group["intervals"]["accuracy"])
                ),
                "mean class": f"{100 * group['mean_class_accuracy']:.1f}",
                "calibration error": f"{100 * group['ece']:.1f}",
                "by chance": f"{100 * group['ece_by_chance']:.1f}",
                "overconfidence": f"{100 * group['overconfidence']:+.1f}",
                "NLL": f"{group['nll']:.3f}",
            }
            for group in column["groups"]
        }
        if rows:
            frame = pd.DataFrame(rows).T.rename_axis(columns=column["column"])
            parts.append(frame.to_string(col_space=[len(x) + 1 for x in frame]))
        parts += [textwrap.fill(x, 94) for x in remarks(column, measured["small"])]
    return textwrap.indent("\n".join(parts), "  ")
