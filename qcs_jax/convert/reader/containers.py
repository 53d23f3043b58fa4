"""The two containers of PyTorch checkpoints: the zip archive and the legacy stream.

Both hold one pickle and the raw storages that it refers to. The code assumes that the
file was written to do harm.
"""

import dataclasses
import io
import struct
import zipfile
from typing import Any, BinaryIO, cast

from qcs_jax.convert.reader.pickle_machine import (
    DOWNLOAD,
    SAVE,
    CheckpointFormatError,
    Stub,
    run_pickle,
    shorten,
)
from qcs_jax.convert.reader.tensors import ByteLimit, StorageId, TensorBuilder

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001


def load_archive(file: BinaryIO, size: int, limit: ByteLimit) -> Any:
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

    def read_storage(storage: StorageId) -> bytes:
        record = records.get(f"data/{storage.key}")
        if record is None or record.file_size < storage.byte_count:
            raise CheckpointFormatError(
                f"storage {shorten(storage.key)} is missing or shorter than the"
                f" {storage.byte_count} bytes it should have"
            )
        return _read(archive, record)[: storage.byte_count]

    builder = TensorBuilder(read_storage, limit)
    limit.spend(records["data.pkl"].file_size)
    program = io.BytesIO(_read(archive, records["data.pkl"]))
    return run_pickle(program, builder.functions, builder.persistent_load)


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


def load_legacy(file: BinaryIO, size: int, limit: ByteLimit) -> Any:
    """Reads the format before torch 1.6, five pickles and then the storages.

    The storages lie behind the pickle that says how large they are. So that one runs
    twice: with stubs only, to learn about the storages, and again to build the tensors.
    """
    stream = cast(BinaryIO, _BoundedStream(file, size))  # all that it has to be
    _check_legacy_header(stream)
    start = file.tell()
    storages: dict[str, StorageId] = {}

    def remember(identifier: Any) -> Stub:
        if (storage := StorageId.parse(identifier)) is not None:
            storages[storage.key] = storage
        return Stub("torch", "storage")

    run_pickle(stream, persistent_load=remember)
    end = file.tell()
    positions = _locate_storages(file, size, run_pickle(stream), storages)

    def read_storage(storage: StorageId) -> bytes:
        if storage.key not in positions:
            raise CheckpointFormatError("one of its storages is missing")
        file.seek(positions[storage.key])
        return file.read(storage.byte_count)

    builder = TensorBuilder(read_storage, limit)
    limit.spend(end - start)
    file.seek(start)
    program = io.BytesIO(file.read(end - start))
    return run_pickle(program, builder.functions, builder.persistent_load)


def _check_legacy_header(stream: BinaryIO) -> None:
    """Reads the magic number, the format's version and a description of the machine."""
    try:
        magic = run_pickle(stream)
    except CheckpointFormatError:
        magic = None
    if magic != _LEGACY_MAGIC:
        raise CheckpointFormatError(
            "it is no PyTorch checkpoint: neither a zip archive nor a file that begins"
            " with PyTorch's magic number",
            SAVE,
        )
    if run_pickle(stream) != _LEGACY_VERSION:
        raise CheckpointFormatError("its format has an unknown version", SAVE)
    run_pickle(stream)  # Sizes and byte order there; storages are always little-endian.


def _locate_storages(
    file: BinaryIO, size: int, keys: Any, storages: dict[str, StorageId]
) -> dict[str, int]:
    """Where the bytes of each storage begin; each follows its element count."""
    if not isinstance(keys, list):
        raise CheckpointFormatError("its list of storages is damaged")
    positions: dict[str, int] = {}
    position = file.tell()
    for key in keys:
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None or key in positions:
            raise CheckpointFormatError("its list of storages is damaged")
        file.seek(position)
        if file.read(8) != struct.pack("<q", storage.count):
            raise CheckpointFormatError(
                f"storage {shorten(key)} has not the expected size, or the file is"
                " truncated"
            )
        positions[key] = position + 8
        position += 8 + storage.byte_count
        if position > size:
            raise CheckpointFormatError("it is truncated")
    return positions
