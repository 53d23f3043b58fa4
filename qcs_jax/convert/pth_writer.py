"""Writes state_dicts that `torch.load` reads, without PyTorch.

The file is a zip archive of one pickle and one record per array. The pickle is put
together here: Python's own writer would need the classes that it names.
"""

from __future__ import annotations

import math
import os
import pickle
import struct
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from qcs_jax.system import files

_ROOT = "archive"
_ALIGNMENT = 64  # of records, as PyTorch's own: its memory maps rely on it
_STORAGES = {np.dtype("float32"): "FloatStorage", np.dtype("int64"): "LongStorage"}


def save_pth(
    path: str | os.PathLike[str], state_dict: Mapping[str, np.ndarray]
) -> None:
    """Writes float32 or int64 arrays; a file is replaced once the new one is whole."""
    with (
        files.replacing(path) as unfinished,
        unfinished.open("wb") as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
    ):
        for name, data in _records(state_dict):
            record = zipfile.ZipInfo(f"{_ROOT}/{name}")
            header = 30 + len(record.filename) + 4  # with the head of the extra field
            padding = -(file.tell() + header) % _ALIGNMENT
            record.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding
            archive.writestr(record, data)


def _records(state_dict: Mapping[str, np.ndarray]) -> Iterator[tuple[str, bytes]]:
    """An OrderedDict of tensors, each with a storage of its own."""
    items = [
        _literal(name) + _tensor(str(i), array)
        for i, (name, array) in enumerate(state_dict.items())
    ]
    program = [_ORDERED_DICT, pickle.MARK, *items, pickle.SETITEMS, pickle.STOP]
    yield "data.pkl", pickle.PROTO + b"\x02" + b"".join(program)
    yield "byteorder", b"little"
    for i, array in enumerate(state_dict.values()):
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        yield f"data/{i}", little.tobytes()
    yield "version", b"3\n"


def _tensor(storage: str, array: np.ndarray) -> bytes:
    kind = _global("torch", _STORAGES[array.dtype])
    about = (_literal("storage"), kind, *map(_literal, (storage, "cpu", array.size)))
    # In elements: the last axis is the fastest.
    strides = tuple(math.prod(array.shape[i + 1 :]) for i in range(array.ndim))
    geometry = map(_literal, (0, array.shape, strides))
    needs_gradient, hooks = _literal(False), _ORDERED_DICT
    arguments = (_tuple(*about) + pickle.BINPERSID, *geometry, needs_gradient, hooks)
    return _call(_global("torch._utils", "_rebuild_tensor_v2"), *arguments)


def _literal(value: Any) -> bytes:
    return pickle.dumps(value, protocol=2)[2:-1]  # between PROTO and STOP


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _tuple(*items: bytes) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE


def _call(function: bytes, *arguments: bytes) -> bytes:
    return function + _tuple(*arguments) + pickle.REDUCE


_ORDERED_DICT = _call(_global("collections", "OrderedDict"))
