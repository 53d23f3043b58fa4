"""Reads PyTorch checkpoints (`.pth`) without PyTorch and without trusting them.

A `.pth` file is a zip archive, or before torch 1.6 a stream, of one pickle and the raw
storages that it refers to. The pickle runs on a machine that cannot execute anything
(`pickle_machine`); what it says about tensors is checked against the bytes that exist
before any memory is taken (`tensors`). The code assumes that the file was written to do
harm.

    weights = state_dict_of(load_pth("model_best.pth"))  # {"conv1.weight": array, ...}
"""

import dataclasses
import io
import itertools
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from qcs_jax.convert.reader.pickle_machine import (
    DOWNLOAD,
    SAVE,
    CheckpointFormatError,
    Stub,
    run_pickle,
    shorten,
)
from qcs_jax.convert.reader.tensors import Tensors

__all__ = ["CheckpointFormatError", "Stub", "load_pth", "shorten", "state_dict_of"]

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001

# How files that are often taken for a checkpoint begin, and what to do with them.
_WRONG_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF", "it is an HDF5 file", SAVE),
    (b"version https://git-lfs", "it is a Git LFS pointer", "Run `git lfs pull`"),
    (b"<", "it is a web page, not the file it links to", DOWNLOAD),
    (b"\x1f\x8b", "it is a gzip archive", "Unpack it first"),
)

_ENTRIES = ("state_dict", "model_state_dict", "model")


def load_pth(path: str | os.PathLike[str]) -> Any:
    """Reads what `torch.save` wrote, executing nothing of what the file names.

    Tensors and parameters become NumPy arrays in native byte order, each with memory of
    its own (a tensor that stands in two places is one array in both); bfloat16, which
    NumPy lacks, becomes float32. Dictionaries, lists, tuples, text and numbers come
    back as such, an OrderedDict as a dict. Any other object, such as a recorder of a
    training script or a NumPy scalar, is an inert `Stub`.

    Raises:
      CheckpointFormatError: if the file is missing, damaged, hostile, of another
        format, or holds tensors that are not supported. The message says what to do.
    """
    path, remedy = Path(path), DOWNLOAD
    try:
        return _load(path)
    except CheckpointFormatError as error:
        problem, remedy = error.problem, error.remedy
    except OSError as error:
        problem = f"it cannot be read ({error.strerror or type(error).__name__})"
        remedy = "Check that it is whole and readable"
    except Exception as error:
        # The error's text may quote the file at any length; its type is enough.
        problem = f"it is damaged ({type(error).__name__})"
    raise CheckpointFormatError(f"{path}: {problem}", remedy)


def _load(path: Path) -> Any:
    """Tells the formats apart; errors do not name the file yet."""
    if path.is_dir():
        remedy = "Give the .pth file in it; an Orbax checkpoint is read by qcs_jax.load"
        raise CheckpointFormatError("it is a directory", remedy)
    if not path.exists():
        raise CheckpointFormatError("there is no such file", "Check the path")
    if not path.is_file():  # A pipe or a device may never end.
        raise CheckpointFormatError("it is not a regular file", "Copy it to one first")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(512)
        file.seek(0)
        if not size:
            raise CheckpointFormatError("it is empty")
        for prefix, problem, remedy in _WRONG_STARTS:
            if start.lstrip().startswith(prefix):
                raise CheckpointFormatError(problem, remedy)
        if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= size:
            raise CheckpointFormatError("it is a safetensors file", SAVE)
        if start.startswith(b"PK\x03\x04"):
            return _load_archive(file, size)
        return _load_legacy(file, size)


def _load_archive(file: BinaryIO, size: int) -> Any:
    """Reads the zip archive of torch >= 1.6, of `size` bytes.

    Its records are `ROOT/data.pkl`, one `ROOT/data/KEY` per storage, and, in newer
    files, `ROOT/byteorder`; ROOT is any name.
    """
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile:
        problem = "the zip archive is incomplete or damaged"
        raise CheckpointFormatError(problem) from None
    records = _checked_records(archive, size)
    order = records.get("byteorder")
    if order is not None and _read(archive, order) != b"little":
        raise CheckpointFormatError("its numbers are not little-endian", SAVE)
    tensors = Tensors(size)
    program = io.BytesIO(_read(archive, records["data.pkl"]))
    content = run_pickle(program, tensors.functions, tensors.persistent_load)
    for key, storage in tensors.storages.items():
        record = records.get(f"data/{key}")
        if record is None:
            raise CheckpointFormatError(f"storage {shorten(key)} is missing")
        storage.fill(_read(archive, record))
    return content


def _read(archive: zipfile.ZipFile, record: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(record)
    except zipfile.BadZipFile as error:
        # The bytes are not those of the checksum. PyTorch itself would not notice.
        raise CheckpointFormatError(
            f"a record is damaged ({shorten(str(error))})",
            f"{DOWNLOAD}; or, if it was saved without checksums, load and save it with"
            " their computation enabled",
        ) from None


def _checked_records(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The records by their name below ROOT.

    Stored records that fit into the file together cannot be a zip bomb: those need
    compression, or records that overlap.
    """
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(set(names)) < len(names):
        raise CheckpointFormatError("two of its records have one name")
    mains = [n for n in names if n.count("/") == 1 and n.endswith("/data.pkl")]
    if len(mains) != 1:
        first = ", ".join(map(shorten, names[:5])) or "nothing"
        raise CheckpointFormatError(
            f"it is a zip archive of something else (with {first})",
            "If the checkpoint is in it, unpack it first",
        )
    root = mains[0].removesuffix("data.pkl")
    if root + "constants.pkl" in names:
        raise CheckpointFormatError("it is a TorchScript program", SAVE)
    for info in infos:
        stored = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1
        if not stored or info.compress_size != info.file_size:
            raise CheckpointFormatError("its records are compressed", SAVE)
    if sum(info.file_size for info in infos) > size:
        raise CheckpointFormatError("its records overlap")
    inside = [info for info in infos if info.filename.startswith(root)]
    return {info.filename.removeprefix(root): info for info in inside}


@dataclasses.dataclass
class _BoundedStream:
    """A stream that takes no more memory for a read than the file has bytes left."""

    file: BinaryIO
    size: int

    def read(self, count: int) -> bytes:
        if count > io.DEFAULT_BUFFER_SIZE:  # Small reads are many, and cost nothing.
            count = min(count, self.size - self.file.tell())
        return self.file.read(count)

    def readline(self) -> bytes:
        return self.file.readline(1 << 20)


def _load_legacy(file: BinaryIO, size: int) -> Any:
    """Reads the format before torch 1.6, five pickles and then the storages.

    The pickles are a magic number, the format's version, a description of the machine
    that wrote it (storages are little-endian whatever it says), the content, and the
    keys of the storages, in their order.
    """
    stream = cast(BinaryIO, _BoundedStream(file, size))  # all that it has to be
    tensors = Tensors(size)

    def run() -> Any:
        return run_pickle(stream, tensors.functions, tensors.persistent_load)

    try:
        magic = run()
    except Exception:
        magic = None
    if not isinstance(magic, int) or magic != _LEGACY_MAGIC:
        raise CheckpointFormatError(
            "it is no PyTorch checkpoint: neither a zip archive nor a file that begins"
            " with PyTorch's magic number",
            SAVE,
        )
    if run() != _LEGACY_VERSION:
        raise CheckpointFormatError("its format has an unknown version", SAVE)
    run()
    content, keys = run(), run()
    if keys != sorted(tensors.storages):
        raise CheckpointFormatError("its list of storages is damaged")
    for key, storage in sorted(tensors.storages.items()):
        if stream.read(8) != struct.pack("<q", storage.count):
            raise CheckpointFormatError(
                f"storage {shorten(key)} has not the expected size, or the file is"
                " truncated"
            )
        storage.fill(stream.read(storage.byte_count))
    return content


def state_dict_of(checkpoint: Any) -> dict[str, np.ndarray]:
    """Finds the state_dict in what `load_pth` returned: names, as stored, to arrays.

    It is all of the checkpoint, or its entry `state_dict`, `model_state_dict` or
    `model`. Raises CheckpointFormatError if there is none, with the keys that are.
    """
    what, candidate = "the checkpoint", checkpoint
    for key in _ENTRIES:
        entry = checkpoint.get(key) if isinstance(checkpoint, Mapping) else None
        if isinstance(entry, (Mapping, Stub)):
            what, candidate = f"its {key!r} entry", entry
            break
    if not isinstance(candidate, Mapping):
        # Reading a whole pickled model would mean to run its class.
        problem = f"{what} is a {_kind_of(candidate)}, not a dict of arrays"
        raise CheckpointFormatError(problem, SAVE)
    others = {
        name: value
        for name, value in candidate.items()
        if not (isinstance(name, str) and isinstance(value, np.ndarray))
    }
    if others or not candidate:
        raise CheckpointFormatError(
            f"{what} is no state_dict: expected arrays, or a dict of arrays under"
            f" 'state_dict', 'model_state_dict' or 'model', found {_listed(others)}",
            f"{SAVE}, or pass the right entry",
        )
    return dict(candidate)


def _kind_of(value: Any) -> str:
    return value.qualified_name if isinstance(value, Stub) else type(value).__name__


def _listed(mapping: Mapping[Any, Any], limit: int = 20) -> str:
    """Describes the entries without printing what a file may have made endless."""
    shown = [
        f"{shorten(key) if isinstance(key, str) else '?'} ({_kind_of(value)})"
        for key, value in itertools.islice(mapping.items(), limit)
    ]
    more = len(mapping) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "") or "nothing"
