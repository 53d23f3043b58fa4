"""Builds NumPy arrays from what a PyTorch pickle says about its tensors.

A pickled tensor is a storage (a flat run of elements), an offset, a size and strides.
Any of them may be a lie, so all are checked as Python integers, which do not overflow,
before NumPy sees them: `as_strided` believes whatever it is told.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from qcs_jax.convert.reader.pickle_machine import (
    CheckpointFormatError,
    Functions,
    Stub,
    safe_dict,
)

_PLAIN = "Save the weights in PyTorch as plain dense tensors of a common dtype"

_MAX_DIMENSIONS = 32  # Of an array in NumPy 1; PyTorch's own limit is 64.
_MAX_KEY_LENGTH = 100  # Longer text would make looking it up costly.
_MAX_INT64 = 2**63 - 1

# Bytes of all arrays. They may take more than the file has: tensors are expanded
# (stride 0), or views of one storage.
_MAX_BYTES = 8 << 30
_GROWTH = 8
_GROWTH_CONSTANT = 64 << 20

_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_DTYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


@dataclasses.dataclass
class ByteLimit:
    """Pays for memory before it is taken."""

    file_size: int
    spent: int = 0

    def spend(self, byte_count: int) -> None:
        """Raises CheckpointFormatError if `byte_count` more bytes are too many."""
        self.spent += byte_count
        most = min(_GROWTH * self.file_size + _GROWTH_CONSTANT, _MAX_BYTES)
        if self.spent > most:
            raise CheckpointFormatError(
                f"its tensors take more than {most:,} bytes, far more than the file"
                " or one of these networks holds",
                "Save them in PyTorch without expanded views: call .clone() on each",
            )


@dataclasses.dataclass(frozen=True)
class StorageId:
    """What the pickle says about a storage: its name, type and number of elements."""

    key: str
    dtype: np.dtype
    count: int

    @property
    def byte_count(self) -> int:
        """Number of bytes in the file."""
        return self.count * self.dtype.itemsize

    @classmethod
    def parse(cls, identifier: Any) -> StorageId | None:
        """Checks a persistent id; None where it is no storage, but a whole model's.

        It is `("storage", type, key, device, count)`, in legacy files with None behind
        it (once a view of another storage), or `("module", class, file, source)`.
        """
        match identifier:
            case ("module", Stub(), _, _):
                return None
            case ("storage", Stub() as kind, str() as key, _, count, *views):
                is_view = any(view is not None for view in views)
                if not is_view and _is_int64(count) and len(key) <= _MAX_KEY_LENGTH:
                    return cls(key, _dtype_of(kind), count)
        raise CheckpointFormatError("its pickle names a storage wrongly")


@dataclasses.dataclass(eq=False)
class _Storage:
    """A storage in memory; the first tensor that fills it may have that memory."""

    id: StorageId
    elements: np.ndarray
    is_given_away: bool = False


@dataclasses.dataclass
class TensorBuilder:
    """What a PyTorch pickle may name: storages, tensors, and what is around them."""

    read_storage: Callable[[StorageId], bytes]  # little-endian
    limit: ByteLimit

    def __post_init__(self) -> None:
        self._storages: dict[str, _Storage] = {}
        self.functions: Functions = {
            ("torch._utils", "_rebuild_tensor"): self._tensor,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor_v2,
            ("torch._utils", "_rebuild_parameter"): _first,
            ("torch._utils", "_rebuild_parameter_with_state"): _first,
            ("torch._tensor", "_rebuild_from_type_v2"): self._from_type,
            ("torch.nn.parameter", "Parameter"): _first,
            ("torch", "Size"): _sequence,
            ("collections", "OrderedDict"): _ordered_dict,
        }

    def persistent_load(self, identifier: Any) -> Any:
        """Reads the storage that a persistent id names, once."""
        storage_id = StorageId.parse(identifier)
        if storage_id is None:
            return identifier[1]
        storage = self._storages.get(storage_id.key)
        if storage is None:
            storage = _Storage(storage_id, self._read(storage_id))
            self._storages[storage_id.key] = storage
        if storage.id != storage_id:
            raise CheckpointFormatError("two storages have one key")
        return storage

    def _read(self, storage_id: StorageId) -> np.ndarray:
        dtype = storage_id.dtype
        self.limit.spend(storage_id.byte_count * (2 if dtype == _BFLOAT16 else 1))
        data = self.read_storage(storage_id)
        if len(data) != storage_id.byte_count:
            raise CheckpointFormatError("it is truncated")
        if dtype == np.bool:  # With another byte than 0 and 1 it would be none.
            return np.frombuffer(data, np.uint8) != 0
        native = np.dtype(np.float32) if dtype == _BFLOAT16 else dtype.newbyteorder("=")
        return np.frombuffer(data, dtype).astype(native)

    def _tensor_v2(self, *arguments: Any) -> np.ndarray:
        if any(arguments[6:]):  # After requires_grad and hooks: pending operations.
            raise CheckpointFormatError("it holds a lazily negated tensor", _PLAIN)
        return self._tensor(*arguments[:4])

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any) -> np.ndarray:
        """The tensor as an array that shares its memory with no other one."""
        if not isinstance(storage, _Storage):
            raise CheckpointFormatError("a tensor has no storage")
        _check_geometry(len(storage.elements), offset, size, stride)
        size, elements = tuple(size), storage.elements
        strides = _steps(size, stride)
        dense = _steps(size, [math.prod(size[axis + 1 :]) for axis in range(len(size))])
        is_complete = math.prod(size) == len(elements) and strides == dense
        if is_complete and not storage.is_given_away:
            storage.is_given_away = True
            return elements.reshape(size)
        self.limit.spend(math.prod(size) * elements.itemsize)
        if not math.prod(size):
            return np.empty(size, elements.dtype)
        byte_strides = [step * elements.itemsize for step in strides]
        view = np.lib.stride_tricks.as_strided(elements[offset:], size, byte_strides)
        return view.copy(order="C")

    def _from_type(self, function: Any, _type: Any, arguments: Any, *_: Any) -> Any:
        """A tensor of a subclass, or with attributes, as a plain one."""
        match function, arguments:
            case Stub(module="torch._utils"), tuple():
                if rebuild := self.functions.get((function.module, function.name)):
                    return rebuild(*arguments)
        raise CheckpointFormatError("it holds a tensor of an unknown type", _PLAIN)


def _check_geometry(count: int, offset: Any, size: Any, stride: Any) -> None:
    """Refuses a tensor that reaches beyond the `count` elements of its storage."""
    sequences = isinstance(size, (tuple, list)) and isinstance(stride, (tuple, list))
    if not sequences or len(size) != len(stride) or len(size) > _MAX_DIMENSIONS:
        raise CheckpointFormatError("a tensor has no valid size and strides")
    if not all(map(_is_int64, (offset, *size, *stride))):
        raise CheckpointFormatError(
            "a tensor has a size, stride or offset that is negative or too large"
        )
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if all(size) and last >= count:
        raise CheckpointFormatError(
            f"a tensor reaches element {last} of a storage of {count}"
        )


def _steps(size: tuple[int, ...], stride: Any) -> tuple[int, ...]:
    """The strides that matter: along an axis of one element any stride is allowed."""
    return tuple(s if n > 1 else 0 for n, s in zip(size, stride, strict=True))


def _dtype_of(kind: Stub) -> np.dtype:
    dtype = _DTYPES.get(kind.name)
    if dtype is None or kind.module not in ("torch", "torch.cuda"):
        problem = f"it holds a {kind.qualified_name}, which is not supported"
        raise CheckpointFormatError(problem, _PLAIN)
    return dtype


def _is_int64(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MAX_INT64


def _first(value: Any, *_: Any) -> Any:
    return value


def _sequence(values: Any = ()) -> tuple[Any, ...]:
    if not isinstance(values, (list, tuple)):
        raise CheckpointFormatError("its pickle lists nothing")
    return tuple(values)


def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
    return safe_dict(_sequence(pairs))
