"""How any dataset is written: all or nothing, one process at a time, no noise."""

import collections
import contextlib
import csv
import io
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds
import tqdm
from etils import epath

from qcs_jax.evaluate.group_file import GROUPS_FILE
from qcs_jax.system import datasets, files
from qcs_jax.system.command import typed
from qcs_jax.system.datasets import DataSet

_READ_AT_ONCE = 1024

# There is no ArrayRecord for Windows. Parquet is read into memory as a whole, and must
# be written as a whole, too: TFDS 4.9.10 leaves out every second of its batches.
FILE_FORMAT = "parquet" if sys.platform == "win32" else "array_record"
tfds.core.file_adapters.ParquetFileAdapter._BATCH_SIZE = 2**31


class ImageBuilder(tfds.core.GeneratorBasedBuilder):
    """What builders of labelled images have in common; the docstring describes them."""

    VERSION = tfds.core.Version("1.0.0")
    # TFDS would look this up through a package that it does not depend on.
    code_path = epath.Path(__file__)
    image_feature = tfds.features.Image(shape=(None, None, 3))
    more_features: Mapping[str, Any] = {}  # beside image, label and id
    group_columns: Sequence[str] = ()  # see `groups_of`

    @property
    def title(self) -> str:
        """Name of the dataset, and of its config if it has one."""
        config = self.builder_config
        return f"{self.name}/{config.name}" if config else self.name

    @property
    def known(self) -> DataSet:
        """What is known of the dataset before any copy of it is seen."""
        known = datasets.find(self.title)
        assert known, f"{self.title} is not in the table of data sets"
        return known

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the classes, in the order of the labels."""
        return self.known.class_names

    @property
    def folder(self) -> pathlib.Path:
        """The folder in which versions of the dataset are."""
        return pathlib.Path(self.data_path.parent)

    @property
    def report(self) -> pathlib.Path:
        """Where the unreadable images are listed."""
        return self.folder / "unreadable.txt"

    @property
    def groups(self) -> pathlib.Path:
        """Where the groups of the images are, among the data, if any are known."""
        return pathlib.Path(self.data_path) / GROUPS_FILE

    def groups_of(self, example: Mapping[str, Any]) -> Sequence[str]:
        """Returns the groups of an example, one for each of `group_columns`.

        They are what somebody has noted down, "" where nobody has; nothing is guessed
        from the image.
        """
        return ()

    def with_groups(self, splits: Mapping[str, Iterator]) -> dict[str, Iterator]:
        """Lets all examples pass, and writes their groups when the last has passed.

        What is written then appears and disappears together with the data.
        """
        if not self.group_columns:
            return dict(splits)
        rows: list[tuple[str, ...]] = [("id", *self.group_columns)]
        left = set(splits)

        def passing(split: str, examples: Iterator) -> Iterator:
            for key, example in examples:
                rows.append((example["id"], *self.groups_of(example)))
                yield key, example
            left.remove(split)
            if not left:
                with self.groups.open("w", encoding="utf-8", newline="") as file:
                    csv.writer(file, lineterminator="\n").writerows(rows)

        return {split: passing(split, x) for split, x in splits.items()}

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": self.image_feature,
            "label": tfds.features.ClassLabel(names=list(self.class_names)),
            "id": tfds.features.Text(),
            **self.more_features,
        }
        return _Info(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )


class _Info(tfds.core.DatasetInfo):
    """What is known of a dataset here, and nowhere else."""

    def initialize_from_bucket(self) -> None:
        """Does not ask TFDS's servers, which would leave an empty folder behind."""


@contextlib.contextmanager
def exclusive(builder: ImageBuilder) -> Iterator[None]:
    """Keeps a second preparation of the same dataset out, by a UserError.

    A dataset that was being replaced when its process was killed is there again.
    """
    otherwise = f"{builder.folder} is being prepared by another process: wait for it"
    with files.exclusive(builder.folder, otherwise):
        finished, aside = _places(builder)
        if aside.exists() and not finished.exists():
            aside.rename(finished)
        yield


def is_prepared(builder: ImageBuilder) -> bool:
    """Returns whether a complete dataset is there."""
    return (builder.data_path / "dataset_info.json").exists()


def generate(builder: ImageBuilder) -> None:
    """Writes the dataset, replacing a finished one.

    TFDS writes into `incomplete.*` and renames that at the end, so what has the final
    name is complete. Such folders left by a killed process are removed first; call
    this inside `exclusive`, or they might belong to a living one.
    """
    for leftover in builder.folder.glob("incomplete.*"):
        shutil.rmtree(leftover)
    mode = tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS
    tfds.disable_progress_bar()  # the builders show one of their own
    with (
        _set_aside(builder),
        contextlib.redirect_stdout(io.StringIO()),  # TFDS prints sizes it can't know
        tempfile.TemporaryDirectory() as downloads,  # nothing is, but TFDS wants one
    ):
        builder.download_and_prepare(
            download_dir=downloads,
            download_config=tfds.download.DownloadConfig(download_mode=mode),
        )


def _places(builder: ImageBuilder) -> tuple[pathlib.Path, pathlib.Path]:
    """Where a finished dataset is, and where while another is made in its place."""
    finished = pathlib.Path(builder.data_path)
    return finished, finished.with_name(f"replaced.{finished.name}")


@contextlib.contextmanager
def _set_aside(builder: ImageBuilder) -> Iterator[None]:
    """Keeps a finished dataset, which TFDS would delete first, until another is."""
    finished, aside = _places(builder)
    shutil.rmtree(aside, ignore_errors=True)
    if finished.exists():
        finished.rename(aside)
    try:
        yield
    except BaseException:
        if aside.exists():
            aside.rename(finished)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def summarize(
    builder: ImageBuilder,
    published: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, collections.Counter[int]]:
    """Prints images per class and split, read back from what was written.

    `published` is printed beside them: per split, images per class. Returns, per split,
    images per label.
    """
    builder = tfds.builder_from_directory(builder.data_path)
    counts = {split: _count(builder, split) for split in builder.info.splits}
    columns = []
    for split, count in counts.items():
        columns.append((split, count))
        if published:
            original = collections.Counter(dict(enumerate(published[split])))
            columns.append(("published", original))
    names = builder.info.features["label"].names
    width = max(len(name) for name in [*names, "total"])
    print(f"{'':{width}}", *(f"{title:>10}" for title, _ in columns))
    for label, name in enumerate(names):
        print(f"{name:{width}}", *(f"{count[label]:10,}" for _, count in columns))
    print(f"{'total':{width}}", *(f"{count.total():10,}" for _, count in columns))
    print(f"\nThe dataset is in {builder.data_path}")
    groups = pathlib.Path(builder.data_path) / GROUPS_FILE
    if groups.exists():
        evaluate = "qcs-jax evaluate"
        print(f"Groups of people: {evaluate} ... --groups={typed(str(groups))}")
    return counts


def _count(builder: tfds.core.DatasetBuilder, split: str) -> collections.Counter[int]:
    """Returns images per label; shows its progress where that takes a while."""
    skip = {"image": tfds.decode.SkipDecoding()}
    records = builder.as_data_source(split, decoders=skip)
    progress = tqdm.tqdm(
        total=len(records), desc=f"Counting {split}", unit=" images", delay=2
    )
    count: collections.Counter[int] = collections.Counter()
    with progress:
        for begin in range(0, len(records), _READ_AT_ONCE):
            block = range(begin, min(begin + _READ_AT_ONCE, len(records)))
            count.update(record["label"] for record in records.__getitems__(block))
            progress.update(len(block))
    return count
