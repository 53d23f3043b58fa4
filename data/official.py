"""What data sets that others distribute have in common.

Their images are checked and stored in one pass: some have hundreds of thousands, and
decoding those twice takes an hour. What cannot be read is counted on the way, and when
it is too much, the pass ends with an error and leaves no dataset behind.
"""

import abc
import collections
import csv
import dataclasses
import io
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tqdm

from qcs_jax.system import files
from qcs_jax.system.errors import UserError

from . import generation, integrity
from .integrity import Unreadable

_ORIGIN_FILE = "origin.txt"


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """One labelled image of a copy."""

    id: str  # tells where in the copy it is
    label: int
    source: pathlib.Path  # what to name when it turns out to be unreadable
    load: Callable[[], bytes]  # as JPEG or PNG; raises OSError or ValueError
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # features


@dataclasses.dataclass(frozen=True)
class Groups:
    """What a copy knows of the people in its images."""

    columns: tuple[str, ...]
    of: Mapping[str, tuple[str, ...]]  # id of an image -> a group a column, or ""
    unreadable: list[Unreadable]  # files about images that are no use


@dataclasses.dataclass(frozen=True)
class Copy:
    """Somebody's copy of an official distribution.

    What is `unreadable` was so before any image was opened; `remarks` are for the user.
    """

    root: pathlib.Path
    examples: dict[str, list[Example]]  # per split
    unreadable: list[Unreadable] = dataclasses.field(default_factory=list)
    remarks: list[str] = dataclasses.field(default_factory=list)
    groups: Groups | None = None

    def counts(self, split: str) -> collections.Counter[int]:
        """Returns the number of examples per label."""
        return collections.Counter(example.label for example in self.examples[split])


class OfficialBuilder(generation.ImageBuilder):
    """Stores a copy of an official distribution."""

    knows_people: bool = False  # whether a complete copy does
    copy: Copy  # what to store; set it before the builder generates
    max_unreadable: int = 0  # how many are tolerated
    how_to_obtain: str  # the tree that is expected, and where to request it

    @property
    def published(self) -> Mapping[str, Sequence[int]]:
        """Per split, the number of images of each class in the original."""
        return self.known.published

    @property
    def choices(self) -> str:
        """What the user chose beside the copy, in words."""
        return ""

    @abc.abstractmethod
    def scan(self, root: pathlib.Path) -> Copy:
        """Finds and checks a copy without opening its images.

        Raises:
          UserError: if it is not a copy of this data set.
        """

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        del dl_manager  # nothing to download
        # Written among the data, it appears and disappears together with them.
        origin = f"{self.copy.root}\n{self.choices}\n"
        files.write_text(self.data_path / _ORIGIN_FILE, origin)
        if self.copy.groups:
            self.group_columns = self.copy.groups.columns
        self.unreadable = list(self.copy.unreadable)
        self._stored: dict[str, collections.Counter[int]] = {}
        splits = {split: self._generate_examples(split) for split in self.copy.examples}
        return self.with_groups(splits)

    def groups_of(self, example: Mapping[str, Any]) -> Sequence[str]:
        groups = self.copy.groups
        assert groups, "there are no columns without groups"
        return groups.of.get(example["id"], ("",) * len(groups.columns))

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        examples = self.copy.examples[split]
        stored: collections.Counter[int] = collections.Counter()
        progress = tqdm.tqdm(examples, desc=f"Storing {split}", unit=" images")
        for index, example in enumerate(progress):
            try:
                image = io.BytesIO(example.load())
            except (OSError, ValueError) as error:
                reason = integrity.reason(error)
                self.unreadable.append(Unreadable(example.source, reason))
                continue
            stored[example.label] += 1
            common = {"image": image, "label": example.label, "id": example.id}
            yield index, {**common, **example.more}
        self._stored[split] = stored
        if len(self._stored) == len(self.copy.examples):
            self._check()  # all is known now, and TFDS has finished nothing yet

    def _check(self) -> None:
        """Ends the preparation with an error when too little could be stored."""
        integrity.report_unreadable(self.unreadable, self.max_unreadable, self.report)
        for split, stored in self._stored.items():
            for label, name in enumerate(self.class_names):
                if not stored[label]:
                    raise UserError(
                        f"{self.copy.root} has no readable image of class {name!r} "
                        f"for the split {split!r}: use a complete copy"
                    )


def prepare(
    builder: OfficialBuilder, manual_dir: pathlib.Path | None, *, overwrite: bool
) -> None:
    """Checks and stores a copy; prints what there is to know about it."""
    root = manual_dir and manual_dir.expanduser().resolve()
    with generation.exclusive(builder):
        if generation.is_prepared(builder) and not overwrite:
            origin = _check_origin(builder, root)
            print(f"{builder.title} is already prepared, from {origin}.")
            lacking = builder.knows_people and not builder.groups.exists()
            also = ", with groups of people if your copy has them" if lacking else ""
            print(f"To prepare it again{also}, add --overwrite.\n")
        else:
            _store(builder, _existing(builder, root))
    counts = generation.summarize(builder, builder.published)
    for line in _differences(builder, counts):
        print(line)


def stored(path: pathlib.Path) -> Callable[[], bytes]:
    """Returns a function that loads an image file as JPEG or PNG."""
    return lambda: integrity.storable(path.read_bytes())


def csv_lines(path: pathlib.Path) -> Iterator[list[str]]:
    """Yields the fields of each line of a CSV file, the header included.

    Damaged characters are replaced rather than refused: where they matter, the field
    will not have the form that is expected of it.
    """
    with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.reader(file)
        try:
            yield from reader
        except csv.Error as error:
            raise UserError(
                f"{path}, line {reader.line_num}: {error}: use the original file"
            ) from None


def missing(what: str, how_to_obtain: str) -> UserError:
    """Returns the error of an incomplete copy: what is missing, and how to get it."""
    return UserError(f"{what}\n{how_to_obtain}")


def _existing(builder: OfficialBuilder, root: pathlib.Path | None) -> pathlib.Path:
    if root is None:
        what = f"{builder.name} needs --manual_dir=FOLDER, your copy of it."
        raise missing(what, builder.how_to_obtain)
    if not root.is_dir():
        raise missing(f"{root} is not a folder.", builder.how_to_obtain)
    return root


def _store(builder: OfficialBuilder, root: pathlib.Path) -> None:
    builder.copy = builder.scan(root)
    limit = builder.max_unreadable
    for remark in builder.copy.remarks:
        print(remark)
    if builder.copy.groups:
        _report_groups(builder.copy.groups.unreadable, limit)
    # Enough may be wrong already to spare the user the long pass.
    integrity.report_unreadable(builder.copy.unreadable, limit, builder.report)
    generation.generate(builder)
    if builder.unreadable:
        count = len(builder.unreadable)
        print(f"skipped {count:,} unreadable images, listed in {builder.report}")


def _report_groups(unreadable: list[Unreadable], limit: int) -> None:
    """Names the files that say nothing of their image; ends where they are too many."""
    if len(unreadable) > limit:
        first = unreadable[0]
        raise UserError(
            f"{len(unreadable)} files about people are unreadable, {limit} are "
            f"tolerated; the first is {first.path} ({first.reason}). Restore them, "
            f"raise --max_unreadable, or remove {first.path.parent} to prepare without "
            f"groups"
        )
    for file in unreadable:
        print(f"no group is known of the image of {file.path}: {file.reason}")


def _check_origin(builder: OfficialBuilder, root: pathlib.Path | None) -> str:
    """Refuses to pass off one copy as another."""
    path = pathlib.Path(builder.data_path, _ORIGIN_FILE)
    text = path.read_text("utf-8", "surrogateescape")
    origin, _, choices = text.rstrip("\n").partition("\n")
    description = " ".join(filter(None, (origin, choices)))
    same_copy = root is None or str(root) == origin
    if not same_copy or choices != builder.choices:
        raise UserError(
            f"{builder.title} is already prepared, from {description}: replace it with "
            f"--overwrite, or choose another --data_dir"
        )
    return description


def _differences(
    builder: OfficialBuilder, counts: Mapping[str, collections.Counter[int]]
) -> Iterator[str]:
    """Compares what was stored with the original, one warning per split."""
    for split in builder.published.keys() & counts.keys():
        published, stored = builder.published[split], counts[split]
        names = builder.class_names
        odd = [
            f"{name} {stored[label]:,} instead of {published[label]:,}"
            for label, name in enumerate(names)
            if stored[label] != published[label]
        ]
        if odd:
            yield (
                f"warning: {split} has {stored.total():,} images, the published set "
                f"{sum(published):,} ({', '.join(odd)})"
            )
