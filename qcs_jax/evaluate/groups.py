"""What a network does for different groups of people, whom others have named."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qcs_jax.evaluate import gaps, significance
from qcs_jax.evaluate.counts import BINS, LEVEL, UNIT, Counts, bin_of, log_softmax
from qcs_jax.evaluate.group_file import Grouping
from qcs_jax.evaluate.resampling import (
    calibrated_errors,
    of_calibration_error,
    percentiles,
    proportion,
    resampled_sums,
)

# With fewer images the interval of an accuracy of 90 % is wider than 17 points, and
# its largest gap to others says more of chance than of the network.
SMALL = 50
_OF_COUNTS = ("accuracy", "mean_class_accuracy", "ece", "nll")


@dataclasses.dataclass(frozen=True)
class _Answers:
    """What a network said about some images: log p float64 `[N, k]`, labels `[N]`."""

    log_p: np.ndarray
    labels: np.ndarray

    def of(self, members: np.ndarray) -> _Answers:
        """Takes the images bool `[N]`."""
        return _Answers(self.log_p[members], self.labels[members])

    @property
    def hits(self) -> np.ndarray:
        """Whether each is right, bool `[N]`."""
        return self.log_p.argmax(axis=1) == self.labels


def summary(
    groupings: Sequence[Grouping],
    logits: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    notes: Sequence[str] = (),
) -> dict:
    """Returns what `metrics.json` has under "groups".

    Args:
      groupings: Columns, from `GroupFile.groupings`.
      logits: `[N, k]`.
      labels: int `[N]`.
      class_names: k names.
      notes: What to tell with it.

    Returns:
      level: of intervals; small: groups of fewer images are; notes; columns: of each
      `column`, the number of images `unknown`, `groups` and `gap`.

      A group has its name, examples, small, accuracy, mean_class_accuracy, ece, nll,
      overconfidence (mean confidence less accuracy, below 0 where it is too modest),
      intervals of these five, ece_by_chance (what a calibrated network has of so many
      images, on average), and per_class: examples, recall and interval of every class,
      the last two None where the group has no image of it.

      The gap is between groups that are not small, see `gaps.largest_gap`, with
      corrected_p for the number of columns, whether it is significant, and a sentence;
      None where there are no two such groups.
    """
    answers = _Answers(log_softmax(logits), labels)
    columns: list[dict[str, Any]] = []
    for grouping in groupings:
        of_group = [
            _group(name, answers.of(grouping.members == i), class_names)
            for i, name in enumerate(grouping.names)
        ]
        columns.append(
            {
                "column": grouping.column,
                "unknown": int(np.sum(grouping.members < 0)),
                "groups": of_group,
                "gap": _gap(grouping, of_group, answers),
            }
        )
    _correct([column["gap"] for column in columns if column["gap"]])
    return {"level": LEVEL, "small": SMALL, "notes": list(notes), "columns": columns}


def _group(name: str, answers: _Answers, class_names: Sequence[str]) -> dict:
    counts = Counts.of(answers.log_p, answers.labels)
    metrics = counts.metrics()
    sums = resampled_sums(_columns(answers))
    k, total = len(class_names), len(answers.labels)
    hits, images, [nll], gap = np.split(sums.T, [k, 2 * k, 2 * k + 1])
    recall = hits / np.maximum(images, 1)
    chance = calibrated_errors(counts.bins[:, :2] * [1, UNIT])
    right = int(np.trace(counts.confusion))
    intervals = {
        "accuracy": proportion(hits.sum(0) / total, right, total),
        "mean_class_accuracy": percentiles(recall.sum(0) / (images > 0).sum(0)),
        "ece": of_calibration_error(abs(gap).sum(0) / total, metrics["ece"], chance),
        "nll": percentiles(nll / total),
        "overconfidence": percentiles(gap.sum(0) / total),
    }
    confidence = np.exp(answers.log_p.max(axis=1))
    return {
        "group": name,
        "examples": total,
        "small": total < SMALL,
        **{key: metrics[key] for key in _OF_COUNTS},
        "ece_by_chance": float(chance.mean()),
        "overconfidence": float(confidence.mean() - metrics["accuracy"]),
        "intervals": intervals,
        "per_class": [
            _of_class(class_names[i], row, recall[i][images[i] > 0])
            for i, row in enumerate(counts.per_class())
        ],
    }


def _columns(answers: _Answers) -> np.ndarray:
    """What is summed over images: `[N, 2 k + 1 + BINS]`.

    Hits of every class, images of every class, NLL, and confidence less hits in every
    bin of confidence, whose absolute values make the calibration error.
    """
    count, k = answers.log_p.shape
    rows, hits = np.arange(count), answers.hits
    of_class = np.eye(k)[answers.labels]
    nll = -answers.log_p[rows, answers.labels]
    confidence = np.exp(answers.log_p.max(axis=1))
    gap = np.zeros((count, BINS))
    gap[rows, bin_of(confidence)] = confidence - hits
    return np.hstack([of_class * hits[:, None], of_class, nll[:, None], gap])


def _of_class(name: str, row: Mapping, drawn: np.ndarray) -> dict:
    total, recall = row["examples"], row["recall"]
    interval = proportion(drawn, round(recall * total), total) if total else None
    return {"class": name, "examples": total, "recall": recall, "interval": interval}


def _gap(
    grouping: Grouping, groups: Sequence[Mapping], answers: _Answers
) -> dict | None:
    large = [i for i, group in enumerate(groups) if not group["small"]]
    if len(large) < 2:
        return None
    k = answers.log_p.shape[1]
    images, hits = (np.zeros((k, len(large)), np.int64) for _ in range(2))
    for column, i in enumerate(large):
        some = answers.of(grouping.members == i)
        images[:, column] = np.bincount(some.labels, minlength=k)
        hits[:, column] = np.bincount(some.labels[some.hits], minlength=k)
    return gaps.largest_gap([groups[i]["group"] for i in large], images, hits)


def _correct(found: Sequence[dict]) -> None:
    """Adds what depends on how many columns were tested."""
    corrected = significance.holm([gap["p"] for gap in found])
    for gap, p in zip(found, corrected, strict=True):
        gap["corrected_p"] = p
        gap["significant"] = p < significance.SIGNIFICANT
        gap["sentence"] = gaps.sentence(gap, len(found))


def remarks(column: Mapping, small: int) -> list[str]:
    """Returns what is to be said of a column, in sentences."""
    found = []
    if any(group["small"] for group in column["groups"]):
        found.append(f"* Fewer than {small} images, too few to be compared.")
    if column["unknown"]:
        found.append(f"{column['unknown']} images belong to no known group.")
    gap = column["gap"]
    few = f"There are no two groups of {small} images or more to compare."
    return [*found, gap["sentence"] if gap else few]


def table(found: Mapping) -> str:
    """Returns what the terminal shows of `summary`, in percent but for the NLL."""
    lines = []
    for column in found["columns"]:
        names = [x["group"] + " *" * x["small"] for x in column["groups"]]
        width = max(map(len, [column["column"], *names]))
        lines.append(
            f"  {column['column']:<{width}}  images  accuracy       interval"
            f"  mean class  calibration error  by chance  overconfidence     NLL"
        )
        for name, group in zip(names, column["groups"], strict=True):
            low, high = (100 * x for x in group["intervals"]["accuracy"])
            between = f"{low:.1f} to {high:.1f}"
            lines.append(
                f"  {name:<{width}}  {group['examples']:6}  "
                f"{100 * group['accuracy']:8.1f}  {between:>13}  "
                f"{100 * group['mean_class_accuracy']:10.1f}  "
                f"{100 * group['ece']:17.1f}  {100 * group['ece_by_chance']:9.1f}  "
                f"{100 * group['overconfidence']:+14.1f}  {group['nll']:6.3f}"
            )
        for remark in remarks(column, found["small"]):
            lines += textwrap.wrap(
                remark, 96, initial_indent="  ", subsequent_indent="  "
            )
    return "\n".join(lines)
