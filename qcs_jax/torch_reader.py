"""Reads PyTorch checkpoints (`.pth`) without PyTorch and without trusting them.

A `.pth` file is a pickle that refers to raw storages. Both containers are read: the zip
archive of torch >= 1.6, one stored record per storage, and the older stream, where the
storages follow the pickle. The pickle runs on a machine that cannot execute anything
(see `torch_pickle`); what it says about tensors is checked against the bytes that exist
before any memory is taken.

    checkpoint = load_pth("model_best.pth")
    weights = state_dict_of(checkpoint)  # {"conv1.weight": array, ...}
"""

import io
import math
import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from qcs_jax import torch_tensors
from qcs_jax.torch_pickle import CheckpointFormatError, Stub, run_pickle, shorten
from qcs_jax.torch_tensors import StorageId, TensorBuilder

__all__ = ["CheckpointFormatError", "Stub", "load_pth", "state_dict_of"]

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001

_DOWNLOAD = "Download or copy it again"
_SAVE = "Save the weights in PyTorch with torch.save(model.state_dict(), path)"

# How files that are often taken for a checkpoint begin, and what to do with them.
_WRONG_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF", "it is an HDF5 file", _SAVE),
    (b"version https://git-lfs", "it is a Git LFS pointer", "Run `git lfs pull`"),
    (b"<", "it is a web page, not the file it links to", _DOWNLOAD),
    (b"\x1f\x8b", "it is a gzip archive", "Unpack it first"),
    (b"Rar!", "it is a rar archive", "Unpack it first"),
    (b"7z\xbc\xaf", "it is a 7z archive", "Unpack it first"),
)


def load_pth(path: str | os.PathLike[str], *, max_bytes: int = 8 << 30) -> Any:
    """Reads what `torch.save` wrote, executing nothing of what the file names.

    Tensors and parameters become NumPy arrays that own their memory, in native byte
    order; bfloat16, which NumPy lacks, becomes float32 of the same value. Dictionaries,
    lists, tuples, text and numbers come back as such (an OrderedDict as a dict). Any
    other object, such as a recorder of a training script, is an inert `Stub`.

    Args:
      path: The file.
      max_bytes: Refuses files whose arrays take more memory than this. Besides, arrays
        may not take far more than the file: 8 times its size plus 64 MiB.

    Returns:
      The object that was saved, most often a dictionary; see `state_dict_of`.

    Raises:
      CheckpointFormatError: The file is missing, damaged, hostile, of another format,
        or holds tensors that are not supported. The message says what to do.
    """
    path = Path(path)
    try:
        return _load(path, max_bytes)
    except CheckpointFormatError as error:
        message = str(error)
    except OSError as error:
        message = f"it cannot be read ({error.strerror or type(error).__name__})"
    except Exception as error:
        # The cause may quote the file at any length; its type is enough.
        message = f"it is damaged ({type(error).__name__}). {_DOWNLOAD}"
    raise CheckpointFormatError(f"{path}: {message}.")


def state_dict_of(checkpoint: Any) -> dict[str, np.ndarray]:
    """Finds the state_dict in what `load_pth` returned.

    Args:
      checkpoint: A state_dict, or a dictionary with one under `state_dict`,
        `model_state_dict` or `model`.

    Returns:
      Names to arrays, as stored: prefixes such as `module.` are kept.

    Raises:
      CheckpointFormatError: There is none; the message lists the keys that were found.
    """
    if isinstance(checkpoint, Stub):
        raise CheckpointFormatError(
            f"the checkpoint is a pickled {checkpoint.qualified_name} object, whose"
            f" class this reader does not run. {_SAVE}."
        )
    if not isinstance(checkpoint, Mapping):
        kind = type(checkpoint).__name__
        raise CheckpointFormatError(f"the checkpoint is a {kind}, no dict. {_SAVE}.")
    if _is_state_dict(checkpoint):
        return dict(checkpoint)
    for key in ("state_dict", "model_state_dict", "model"):
        inner = checkpoint.get(key)
        if isinstance(inner, Mapping) and inner:
            return _checked_state_dict(key, inner)
    raise CheckpointFormatError(
        "no state_dict in the checkpoint: expected arrays, or a dict of arrays under"
        f" 'state_dict', 'model_state_dict' or 'model'; found {_listed(checkpoint)}."
        f" {_SAVE}, or pass the right entry."
    )


def _is_state_dict(candidate: Mapping[Any, Any]) -> bool:
    return bool(candidate) and all(
        isinstance(name, str) and isinstance(value, np.ndarray)
        for name, value in candidate.items()
    )


def _checked_state_dict(key: str, inner: Mapping[Any, Any]) -> dict[str, np.ndarray]:
    if not _is_state_dict(inner):
        bad = {n: v for n, v in inner.items() if not isinstance(v, np.ndarray)}
        raise CheckpointFormatError(
            f"{key!r} in the checkpoint is no state_dict: not an array under a name:"
            f" {_listed(bad or inner)}. {_SAVE}."
        )
    return dict(inner)


def _listed(mapping: Mapping[Any, Any], limit: int = 20) -> str:
    """Describes the keys, never printing what a hostile file may have made endless."""
    shown = [
        f"{shorten(key) if isinstance(key, str) else '?'} ({type(value).__name__})"
        for key, value in list(mapping.items())[:limit]
    ]
    more = len(mapping) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "") or "no keys"


def _load(path: Path, max_bytes: int) -> Any:
    """Tells the formats apart; `load_pth` without the file's name in its errors."""
    if path.is_dir():
        raise CheckpointFormatError(
            "it is a directory. Give the .pth file in it; an Orbax checkpoint is read"
            " by qcs_jax.load"
        )
    if not path.exists():
        raise CheckpointFormatError("there is no such file. Check the path")
    if not path.is_file():  # A pipe or a device may never end.
        raise CheckpointFormatError("it is not a regular file. Copy it to one first")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(512)
        file.seek(0)
        _refuse_other_formats(start, size)
        load = _load_zip if start.startswith(b"PK\x03\x04") else _load_legacy
        limit = torch_tensors.ByteLimit(file_size=size, max_bytes=max_bytes)
        return load(file, size, limit)


def _refuse_other_formats(start: bytes, size: int) -> None:
    if not size:
        raise CheckpointFormatError(f"it is empty. {_DOWNLOAD}")
    for prefix, problem, fix in _WRONG_STARTS:
        if start.lstrip().startswith(prefix):
            raise CheckpointFormatError(f"{problem}. {fix}")
    header_length = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and header_length <= size:
        raise CheckpointFormatError(f"it is a safetensors file. {_SAVE}")
    if start[257:262] == b"ustar":
        raise CheckpointFormatError(
            "it is a tar archive: unpack it, or, if torch < 0.1.10 wrote it, load and"
            " save it with a newer PyTorch"
        )


def _load_zip(file: BinaryIO, size: int, limit: torch_tensors.ByteLimit) -> Any:
    """Reads a zip archive: `ROOT/data.pkl`, `ROOT/byteorder`, `ROOT/data/KEY`."""
    try:
        with zipfile.ZipFile(file) as archive:
            return _load_archive(archive, size, limit)
    except zipfile.BadZipFile as error:
        # A wrong CRC-32 or no directory at the end; both texts are short and clear.
        raise CheckpointFormatError(
            f"the zip archive is damaged or incomplete ({shorten(str(error))})."
            f" {_DOWNLOAD}"
        ) from None


def _load_archive(
    archive: zipfile.ZipFile, size: int, limit: torch_tensors.ByteLimit
) -> Any:
    records = _checked_records(archive, size)
    order = archive.read(records["byteorder"]) if "byteorder" in records else b"little"
    if order not in (b"little", b"big"):
        raise CheckpointFormatError(f"its byte order is unknown. {_DOWNLOAD}")

    def read_storage(storage: StorageId, byte_count: int) -> bytes:
        record = records.get(f"data/{storage.key}")
        if record is None or record.file_size < byte_count:
            name = shorten(storage.key)
            raise CheckpointFormatError(
                f"storage {name} is missing or shorter than {byte_count} bytes."
                f" {_DOWNLOAD}"
            )
        return archive.read(record)[:byte_count]

    builder = TensorBuilder(read_storage, order.decode("ascii"), limit)
    stream = io.BytesIO(archive.read(records["data.pkl"]))
    return run_pickle(stream, builder.functions, builder.persistent_load)


def _checked_records(
    archive: zipfile.ZipFile, size: int
) -> dict[str, zipfile.ZipInfo]:
    """Returns the records by their name below the root; refuses what torch never wrote.

    Stored records that together fit into the file cannot be a bomb: neither compressed,
    nor overlapping.
    """
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(set(names)) < len(names):
        raise CheckpointFormatError(f"two records have one name. {_DOWNLOAD}")
    roots = [name.removesuffix("/data.pkl") for name in names if _is_main(name)]
    if len(roots) != 1:
        found = ", ".join(map(shorten, names[:5])) or "nothing"
        raise CheckpointFormatError(
            f"it is a zip archive without one data.pkl, but with {found}. Unpack it if"
            f" the checkpoint is inside. {_SAVE}"
        )
    for info in infos:
        plain = info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1
        if not plain or info.compress_size != info.file_size:
            raise CheckpointFormatError(f"its records are compressed. {_SAVE}")
    if sum(info.file_size for info in infos) > size:
        raise CheckpointFormatError(f"its records overlap. {_DOWNLOAD}")
    prefix = roots[0] + "/"
    records = {
        info.filename.removeprefix(prefix): info
        for info in infos
        if info.filename.startswith(prefix)
    }
    if "constants.pkl" in records:
        raise CheckpointFormatError(f"it is a TorchScript program. {_SAVE}")
    return records


def _is_main(name: str) -> bool:
    return name.count("/") == 1 and name.endswith("/data.pkl")


class _BoundedStream:
    """Binary stream that reads no further, and takes no more memory, than the file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def read(self, count: int) -> bytes:
        return self._file.read(min(count, self._size - self._file.tell()))

    def readline(self) -> bytes:
        return self._file.readline(1 << 20)


def _load_legacy(file: BinaryIO, size: int, limit: torch_tensors.ByteLimit) -> Any:
    """Reads the format before torch 1.6: pickles, then the storages.

    The storages lie behind the pickle that says how large they are. So it runs twice:
    once with stubs only, to learn about the storages, and again to build the tensors.
    """
    stream = _BoundedStream(file, size)
    ...
