"""Opens data sets that `qcs-jax prepare` has written, without TensorFlow."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any
from zipfile import BadZipFile

import numpy as np
import tensorflow_datasets as tfds

from qcs_jax.system import datasets
from qcs_jax.system.errors import UserError
from qcs_jax.system.files import replacing

_READ_AT_ONCE = 1024


@dataclasses.dataclass(frozen=True)
class Source:
    """One split of a prepared data set."""

    name: str  # DATASET/CONFIG
    split: str
    records: Any  # random access to {"image": bytes, "label": int, ...}
    labels: np.ndarray  # int32 [N]
    class_names: tuple[str, ...]  # in the order of the labels
    notes: tuple[str, ...] = ()  # what was done to the split, for people to read

    def __len__(self) -> int:
        return len(self.labels)

    def encoded(self, examples: Sequence[int]) -> list[bytes]:
        """Encoded images of the examples, read in one call."""
        return [record["image"] for record in self._read(examples)]

    def ids(self, examples: Sequence[int]) -> list[str]:
        """Names of the examples (paths, for data sets made of files)."""
        names = [record["id"] for record in self._read(examples)]
        return [x.decode() if isinstance(x, bytes) else x for x in names]

    def _read(self, examples: Sequence[int]) -> list[dict]:
        with _intact(f"split {self.split!r} of data set {self.name}"):
            return self.records.__getitems__([int(example) for example in examples])


def open_split(name: str, split: str, directory: str = "") -> Source:
    """Opens a split of `DATASET` or `DATASET/CONFIG` and reads its labels.

    Raises:
      UserError: if the data set is not prepared; says how to. For a split that does
        not exist, or one with no examples.
    """
    version = datasets.version(name, directory)
    name = version.parent.relative_to(datasets.root(directory)).as_posix()
    builder = _builder(version, name)
    _check_features(name, builder.info.features)
    if split not in builder.info.splits:
        raise UserError(
            f"data set {name} has no split {split!r}: "
            f"it has {', '.join(builder.info.splits)}"
        )
    encoded = {"image": tfds.decode.SkipDecoding()}
    names = tuple(builder.info.features["label"].names)
    with _intact(f"split {split!r} of data set {name}"):
        records = builder.as_data_source(split, decoders=encoded)
        if not len(records):
            raise UserError(
                f"split {split!r} of data set {name} is empty: prepare it again"
            )
        labels = _labels(records, version / f"{split}.labels.npz")
    wrong = labels[(labels < 0) | (labels >= len(names))]
    if len(wrong):
        raise UserError(
            f"split {split!r} of data set {name} has label {wrong[0]}, but "
            f"{len(names)} classes: prepare it again with --overwrite"
        )
    return Source(name, split, records, labels, names)


def card(name: str, directory: str = "") -> dict[str, str]:
    """Returns name, version and description of a prepared data set."""
    builder = _builder(datasets.version(name, directory), name)
    info, config = builder.info, builder.builder_config
    texts = [info.description, config.description if config else ""]
    return {
        "name": info.full_name.rpartition("/")[0],
        "version": str(info.version),
        "description": " ".join(filter(None, texts)),
    }


def _builder(version: pathlib.Path, name: str) -> Any:
    """What TFDS knows of a version; raises UserError if its own files are damaged."""
    with _intact(f"data set {name} in {version}"):
        return tfds.builder_from_directory(version)


@contextlib.contextmanager
def _intact(what: str) -> Iterator[None]:
    """Raises UserError for what is raised of damaged files, which is of many kinds."""
    try:
        yield
    except (UserError, MemoryError, PermissionError):
        raise
    except ImportError as error:  # of what reads the files of another system
        raise UserError(f"{what} cannot be read here ({error}): prepare it") from error
    except Exception as error:
        raise UserError(
            f"{what} is damaged ({type(error).__name__}: {error}): prepare it again "
            f"with --overwrite"
        ) from error


def _check_features(name: str, features: Any) -> None:
    required = {
        "image": tfds.features.Image,
        "label": tfds.features.ClassLabel,
        "id": tfds.features.Text,
    }
    wrong = [
        f"{feature!r} ({kind.__name__})"
        for feature, kind in required.items()
        if feature not in features or not isinstance(features[feature], kind)
    ]
    if wrong:
        raise UserError(
            f"data set {name} has no feature {', '.join(wrong)}: prepare one with "
            f"qcs-jax prepare, or give it these features"
        )


def _labels(records: Any, cache: pathlib.Path) -> np.ndarray:
    """Labels of all records, kept beside them: reading them reads every image.

    A zip archive tells by its checksum when it is not as it was written.
    """
    try:
        with cache.open("rb") as file, np.load(file) as kept:
            labels = kept["labels"]
        if labels.shape == (len(records),) and labels.dtype == np.int32:
            return labels
    except (OSError, ValueError, EOFError, KeyError, TypeError, BadZipFile):
        pass  # not there yet, or not whole
    everything, read = list(range(len(records))), []
    for begin in everything[::_READ_AT_ONCE]:
        block = everything[begin : begin + _READ_AT_ONCE]
        read += [record["label"] for record in records.__getitems__(block)]
    labels = np.asarray(read, np.int32)
    with contextlib.suppress(OSError):  # a data set may be read-only
        with replacing(cache) as unfinished, unfinished.open("wb") as new:
            np.savez(new, labels=labels)
    return labels
