"""Other views of a split: a part of it, other labels, several splits as one.

Each takes a `Source` and gives a `Source`. Nothing is copied or written; what is drawn
at random is a function of `seed` alone.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from qcs_jax.input.sources import Source
from qcs_jax.system.errors import UserError

BY_NAME = "by_name"


@dataclasses.dataclass(frozen=True)
class _View:
    """Some records of several sources, counted one after the other, in any order."""

    parts: tuple[Any, ...]
    chosen: np.ndarray

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitems__(self, indices: Sequence[int]) -> list[dict]:
        chosen = self.chosen[list(indices)].tolist()
        read: dict[int, dict] = {}
        begin = 0
        for part in self.parts:
            if mine := [i for i in chosen if begin <= i < begin + len(part)]:
                records = part.__getitems__([i - begin for i in mine])
                read |= zip(mine, records, strict=True)
            begin += len(part)
        return [read[index] for index in chosen]


def keep(source: Source, examples: Sequence[int] | np.ndarray) -> Source:
    """Returns the split with these examples (int `[M]`) alone."""
    chosen = np.asarray(examples, np.int64)
    records, labels = _View((source.records,), chosen), source.labels[chosen]
    return dataclasses.replace(source, records=records, labels=labels)


def fraction_of(source: Source, fraction: float, seed: int) -> Source:
    """Keeps a random part of every class, at least one image of each that has any.

    A smaller `fraction`, in (0, 1], with the same seed is a part of a larger one.
    """
    rng = _random(seed, "fraction")
    return keep(source, _of_each_class(source, fraction, rng, spare=0))


def held_out(source: Source, fraction: float, seed: int) -> tuple[Source, Source]:
    """Divides a split: what is left to train on, and a random part of each class.

    At least one image of every class is held out, but never its only one; `fraction` is
    in (0, 1).
    """
    out = _of_each_class(source, fraction, _random(seed, "held out"), spare=1)
    if not len(out):
        raise UserError(
            f"no class of {source.name} has two images, so none can be held out: set "
            f"data.val_fraction=0"
        )
    rest = np.setdiff1d(np.arange(len(source)), out)
    return keep(source, rest), keep(source, out)


def _of_each_class(
    source: Source, fraction: float, rng: np.random.Generator, *, spare: int
) -> np.ndarray:
    """Draws a part of each class, at least one image, but never the last `spare`."""
    order = rng.permutation(len(source))
    drawn = []
    for label in np.unique(source.labels):
        members = order[source.labels[order] == label]
        count = max(1, round(fraction * len(members)))
        drawn.append(members[: min(count, len(members) - spare)])
    return np.sort(np.concatenate(drawn))


def with_label_noise(source: Source, fraction: float, seed: int) -> Source:
    """Replaces exactly this fraction of the labels, rounded, by a wrong class.

    What a smaller `fraction`, in [0, 1], flips, a larger one with the same seed flips
    to the same class. 0.1, 0.2 and 0.3 are usual.
    """
    rng = _random(seed, "noise")
    order = rng.permutation(len(source))
    shift = rng.integers(1, len(source.class_names), len(source))
    flipped = order[: round(fraction * len(source))]
    labels = source.labels.copy()
    labels[flipped] = (labels[flipped] + shift[flipped]) % len(source.class_names)
    return dataclasses.replace(source, labels=labels)


def listed_in(source: Source, path: str) -> Source:
    """Keeps the examples whose names a text file lists, one a line, in their order."""
    try:
        text = pathlib.Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"data.test_list={path!r} cannot be read: {error}") from error
    listed = {line.strip() for line in text.splitlines()} - {""}
    names = source.ids(range(len(source)))
    missing = sorted(listed.difference(names))
    if missing or not listed:
        raise UserError(
            f"data.test_list={path!r}: {len(missing)} of {len(listed)} names, such as "
            f"{(missing or [''])[0]!r}, are not in split {source.split!r} of "
            f"{source.name}, whose names are like {names[0]!r}"
        )
    return keep(source, [i for i, name in enumerate(names) if name in listed])


def mapped_to(source: Source, class_names: Sequence[str], mapping: str) -> Source:
    """Gives a split the classes of a network that was trained on another data set.

    `mapping` "by_name" keeps the classes that both have; "THEIRS=OURS,..." names a
    class of the network for each that is kept. Images of other classes are left out.
    The `notes` of the split say what became of its classes.
    """
    pairs = _pairs(source, class_names, mapping)
    target = np.full(len(source.class_names), -1, np.int32)
    for name, renamed in pairs.items():
        target[source.class_names.index(name)] = class_names.index(renamed)
    chosen = keep(source, np.flatnonzero(target[source.labels] >= 0))
    if not len(chosen):
        raise UserError(
            f"data.label_map={mapping!r} leaves no image of {source.name}, which has "
            f"{', '.join(source.class_names)}; the network has {', '.join(class_names)}"
        )
    mapped = dataclasses.replace(
        chosen, labels=target[chosen.labels], class_names=tuple(class_names)
    )
    notes = tuple(_mapping_notes(source, mapped, pairs))
    return dataclasses.replace(mapped, notes=notes)


def _mapping_notes(
    before: Source, after: Source, pairs: dict[str, str]
) -> Iterator[str]:
    """Says what `mapped_to` did to a split."""
    renamed = [f"{a} counts as {b}" for a, b in pairs.items() if a != b]
    if renamed:
        yield ", ".join(renamed)
    counts = np.bincount(before.labels, minlength=len(before.class_names))
    left_out = [
        f"{name} ({count} image{'s' * (count != 1)})"
        for name, count in zip(before.class_names, counts.tolist(), strict=True)
        if name not in pairs and count
    ]
    if left_out:
        yield f"left out: {', '.join(left_out)}"
    absent = [x for i, x in enumerate(after.class_names) if i not in after.labels]
    if absent:
        yield f"no image is of {', '.join(absent)}: such an answer is wrong"


def _pairs(source: Source, class_names: Sequence[str], mapping: str) -> dict[str, str]:
    if mapping == BY_NAME:
        return {name: name for name in source.class_names if name in class_names}
    pairs = {}
    for pair in mapping.split(","):
        before, _, after = (part.strip() for part in pair.partition("="))
        for name, known in ((before, source.class_names), (after, class_names)):
            if name not in known:
                raise UserError(
                    f"data.label_map: {name!r} in {pair!r} is none of "
                    f"{', '.join(known)}; write THEIRS=OURS,... or {BY_NAME}"
                )
        if before in pairs:
            raise UserError(f"data.label_map: {before!r} is mapped twice")
        pairs[before] = after
    return pairs


def joined(first: Source, *others: Source) -> Source:
    """Joins splits of the same classes; examples of `first` come first."""
    sources = (first, *others)
    labels = np.concatenate([source.labels for source in sources])
    records = _View(tuple(x.records for x in sources), np.arange(len(labels)))
    name = "+".join(source.name for source in sources)
    return dataclasses.replace(first, name=name, records=records, labels=labels)


def _random(seed: int, purpose: str) -> np.random.Generator:
    """Independent of other uses of the seed."""
    return np.random.default_rng([seed, *purpose.encode()])
