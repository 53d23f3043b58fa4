"""Opens data sets that `qcs_jax.prepare` has written, without TensorFlow."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any
from zipfile import BadZipFile

import numpy as np
import tensorflow_datasets as tfds

from qcs_jax.system import command, folders
from qcs_jax.system.errors import UserError
from qcs_jax.system.files import replacing

_READ_AT_ONCE = 1024
_LICENSED = ("affectnet", "fer2013", "ferplus", "raf_db")  # on terms to agree to


@dataclasses.dataclass(frozen=True)
class Source:
    """One split of a prepared data set.

    Attributes:
      name: `DATASET/CONFIG`.
      split: Name of the split.
      records: Random access to `{"image": bytes, "label": int, ...}`.
      labels: int32 `[N]`.
      class_names: k names, in the order of the labels.
      notes: What was done to the split, for people to read.
    """

    name: str
    split: str
    records: Any
    labels: np.ndarray
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()

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
        with _whole(self.name, self.split):
            return self.records.__getitems__([int(example) for example in examples])


def data_root(directory: str = "") -> pathlib.Path:
    """`directory`, else $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return pathlib.Path(directory or default).expanduser()


def open_split(name: str, split: str, directory: str = "") -> Source:
    """Opens a split of a prepared data set and reads its labels.

    Args:
      name: `DATASET` or `DATASET/CONFIG`.
      split: For example "train".
      directory: Root of prepared data sets; see `data_root`.

    Raises:
      UserError: if the data set is not prepared; says how to. For a split that does
        not exist, or one with no examples.
    """
    version = _version_directory(name, directory)
    name = version.parent.relative_to(data_root(directory)).as_posix()
    builder = _builder(version, name)
    _check_features(name, builder.info.features)
    if split not in builder.info.splits:
        raise UserError(
            f"data set {name} has no split {split!r}: "
            f"it has {', '.join(builder.info.splits)}"
        )
    encoded = {"image": tfds.decode.SkipDecoding()}
    names = tuple(builder.info.features["label"].names)
    with _whole(name, split):
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


def missing(name: str, directory: str = "") -> str:
    """Says how to prepare a data set; "" if it is prepared."""
    try:
        _version_directory(name, directory)
    except UserError as error:
        return str(error)
    return ""


def card(name: str, directory: str = "") -> dict[str, str]:
    """Returns name, version and description of a prepared data set.

    Raises:
      UserError: if it is not prepared.
    """
    builder = _builder(_version_directory(name, directory), name)
    info, config = builder.info, builder.builder_config
    texts = [info.description, config.description if config else ""]
    return {
        "name": info.full_name.rpartition("/")[0],
        "version": str(info.version),
        "description": " ".join(filter(None, texts)),
    }


def _builder(version: pathlib.Path, name: str) -> Any:
    """What TFDS knows of a version; raises UserError if its own files are damaged."""
    try:
        return tfds.builder_from_directory(version)
    except Exception as error:  # it raises many kinds, for JSON and for what is in it
        raise UserError(
            f"data set {name} is damaged, {version} cannot be read "
            f"({type(error).__name__}: {error}): prepare it again with --overwrite"
        ) from error


@contextlib.contextmanager
def _whole(name: str, split: str) -> Iterator[None]:
    """Inside, records are read, whose hashes tell when a file is not as it was."""
    try:
        yield
    except RuntimeError as error:  # array_record knows no other
        raise UserError(
            f"split {split!r} of data set {name} is damaged ({error}): prepare it "
            f"again with --overwrite"
        ) from error


def _check_features(name: str, features: Any) -> None:
    wanted = {
        "image": tfds.features.Image,
        "label": tfds.features.ClassLabel,
        "id": tfds.features.Text,
    }
    wrong = [
        f"{feature!r} ({kind.__name__})"
        for feature, kind in wanted.items()
        if feature not in features or not isinstance(features[feature], kind)
    ]
    if wrong:
        raise UserError(
            f"data set {name} has no feature {', '.join(wrong)}: prepare one with "
            f"qcs_jax.prepare, or give it these features"
        )


def _version_directory(name: str, directory: str) -> pathlib.Path:
    """The newest prepared version of a data set."""
    parts = name.split("/")
    if len(parts) > 2 or not {"", ".", ".."}.isdisjoint(parts):
        raise UserError(
            f"data set {name!r}: give a name, DATASET or DATASET/CONFIG, as "
            f"qcs_jax.prepare printed it; the folder where it is prepared is data.dir"
        )
    root = data_root(directory)
    base = root / name
    configs = sorted({version.parent for version in _versions(base, "*/*")})
    if len(configs) == 1:  # DATASET stands for its only prepared CONFIG
        base = configs[0]
    elif configs:
        found = ", ".join(f"{name}/{c.name}" for c in configs)
        raise UserError(
            f"several data sets {name!r} are prepared: set --config.data.name to one "
            f"of {found}"
        )
    versions = _versions(base, "*")
    if not versions:
        raise UserError(_how_to_prepare(name, root))
    return max(versions, key=lambda v: tuple(map(int, v.name.split("."))))


def _versions(folder: pathlib.Path, pattern: str) -> list[pathlib.Path]:
    """Complete versions; TFDS renames `incomplete.*` when it has written all."""
    found = [path.parent for path in folder.glob(f"{pattern}/dataset_info.json")]
    return [path for path in found if re.fullmatch(r"\d+\.\d+\.\d+", path.name)]


def _how_to_prepare(name: str, root: pathlib.Path) -> str:
    versions = [*_versions(root, "*/*"), *_versions(root, "*/*/*")]
    prepared = sorted({v.parent.relative_to(root).as_posix() for v in versions})
    where = f" --data_dir={shlex.quote(str(root))}" if root != data_root() else ""
    known = f" (prepared there: {', '.join(prepared)})" if prepared else ""
    dataset = name.partition("/")[0]
    manuals = folders.find("data")
    folder = "" if dataset == "synthetic_faces" else " --manual_dir=FOLDER"
    steps = [f"{command.line('prepare', 'prepare')} {name}{folder}{where}"]
    if dataset in _LICENSED:
        manual = manuals / dataset / "README.md"
        steps = [
            f"request it from its authors: {manual} says where",
            "unpack what they send into a FOLDER",
            *steps,
        ]
    elif folder:
        manual = manuals / "README.md"
        steps = [f"see {manual} for the FOLDER that it is made from", *steps]
    lines = [f"  {i}. {step}" for i, step in enumerate(steps, start=1)]
    return "\n".join([f"data set {name!r} is not prepared in {root}{known}:", *lines])


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
