"""How any dataset is written: all or nothing, one process at a time, no noise."""

import collections
import contextlib
import io
import pathlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds
import tqdm
from etils import epath

from qcs_jax.system import files

_READ_AT_ONCE = 1024


class ImageBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """What builders of labelled images have in common; the docstring describes them.

    Attributes:
      class_names: Names of the classes, in the order of the labels.
      image_feature: How images are stored.
      more_features: Features beside image, label and id.
    """

    VERSION = tfds.core.Version("1.0.0")
    # TFDS would look this up through a package that it does not depend on.
    code_path = epath.Path(__file__)
    class_names: Sequence[str]
    image_feature = tfds.features.Image(shape=(None, None, 3))
    more_features: Mapping[str, Any] = {}

    @property
    def title(self) -> str:
        """Name of the dataset, and of its config if it has one."""
        config = self.builder_config
        return f"{self.name}/{config.name}" if config else self.name

    @property
    def folder(self) -> pathlib.Path:
        """The folder in which versions of the dataset are."""
        return pathlib.Path(self.data_path.parent)

    @property
    def report(self) -> pathlib.Path:
        """Where the unreadable images are listed."""
        return self.folder / "unreadable.txt"

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": self.image_feature,
            "label": tfds.features.ClassLabel(names=list(self.class_names)),
            "id": tfds.features.Text(),
            **self.more_features,
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )


def exclusive(builder: ImageBuilder) -> contextlib.AbstractContextManager[None]:
    """Keeps a second preparation of the same dataset out, by a UserError."""
    otherwise = f"{builder.folder} is being prepared by another process: wait for it"
    return files.exclusive(builder.folder, otherwise)


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
    mode = tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS  # replaces, if need be
    tfds.disable_progress_bar()  # the builders show one of their own
    with (
        contextlib.redirect_stdout(io.StringIO()),  # TFDS prints sizes it can't know
        tempfile.TemporaryDirectory() as downloads,  # nothing is, but TFDS wants one
    ):
        builder.download_and_prepare(
            download_dir=downloads,
            download_config=tfds.download.DownloadConfig(download_mode=mode),
        )


def summarize(
    builder: ImageBuilder,
    published: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, collections.Counter[int]]:
    """Prints images per class and split, read back from what was written.

    Args:
      builder: Builder of a prepared dataset.
      published: Per split, images per class, to print beside what was written.

    Returns:
      Per split, images per label.
    """
    builder = tfds.builder_from_directory(builder.data_path)
    counts = {split: _count(builder, split) for split in builder.info.splits}
    columns = []
    for split, count in counts.items():
        columns.append((split, count))
        if published:
            columns.append(
                ("published", collections.Counter(dict(enumerate(published[split]))))
            )
    names = builder.info.features["label"].names
    width = max(len(name) for name in [*names, "total"])
    print(f"{'':{width}}", *(f"{title:>10}" for title, _ in columns))
    for label, name in enumerate(names):
        print(f"{name:{width}}", *(f"{count[label]:10,}" for _, count in columns))
    print(f"{'total':{width}}", *(f"{count.total():10,}" for _, count in columns))
    print(f"\nThe dataset is in {builder.data_path}")
    return counts


def _count(builder: tfds.core.DatasetBuilder, split: str) -> collections.Counter[int]:
    """Returns images per label; shows its progress where that takes a while."""
    skip = {"image": tfds.decode.SkipDecoding()}
    records = builder.as_data_source(split, decoders=skip)
    progress = tqdm.tqdm(
        total=len(records), desc=f"Counting {split}", unit=" images", delay=2
    )
    count = collections.Counter()
    with progress:
        for begin in range(0, len(records), _READ_AT_ONCE):
            block = range(begin, min(begin + _READ_AT_ONCE, len(records)))
            count.update(record["label"] for record in records.__getitems__(block))
            progress.update(len(block))
    return count
