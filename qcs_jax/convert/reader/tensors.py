"""What a PyTorch pickle says about its tensors, as NumPy arrays.

A pickled tensor is a storage (a flat run of elements), an offset, a size and strides.
Any of them may be a lie, so all are checked as Python integers, which do not overflow,
before memory is taken. Arrays are made while the pickle runs, and filled once its
storages are read: in old files these come behind it.
"""

import dataclasses
import math
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

# Type of the elements in the file, and in arrays.
_DTYPES = {
    "DoubleStorage": ("<f8", "f8"),
    "FloatStorage": ("<f4", "f4"),
    "HalfStorage": ("<f2", "f2"),
    "BFloat16Storage": (ml_dtypes.bfloat16, "f4"),
    "LongStorage": ("<i8", "i8"),
    "IntStorage": ("<i4", "i4"),
    "ShortStorage": ("<i2", "i2"),
    "CharStorage": ("i1", "i1"),
    "ByteStorage": ("u1", "u1"),
    "BoolStorage": ("u1", "?"),  # A bool of another byte than 0 and 1 would be none.
}


@dataclasses.dataclass
class Storage:
    """What the pickle says about a storage, and the arrays that wait for its bytes."""

    stored: np.dtype  # in the file
    native: np.dtype  # of arrays
    count: int  # of elements
    # Each array with the offset and strides of its elements in the file, in bytes.
    waiting: list[tuple[np.ndarray, int, list[int]]] = dataclasses.field(
        default_factory=list, compare=False
    )

    @property
    def byte_count(self) -> int:
        """Number of bytes in the file."""
        return self.count * self.stored.itemsize

    def fill(self, data: bytes) -> None:
        """Copies elements from the storage's bytes into the arrays."""
        if len(data) < self.byte_count:
            raise CheckpointFormatError("a storage is truncated")
        for array, offset, strides in self.waiting:
            array[...] = np.ndarray(array.shape, self.stored, data, offset, strides)


class Tensors:
    """What a PyTorch pickle may name: storages, tensors, and what is around them.

    Once the pickle has run, each of `storages`, by their keys, has to be filled.
    """

    def __init__(self, file_size: int) -> None:
        self.storages: dict[str, Storage] = {}
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
        self._limit = min(_GROWTH * file_size + _GROWTH_CONSTANT, _MAX_BYTES)
        self._bytes = 0

    def persistent_load(self, identifier: Any) -> Storage | Stub:
        """The storage that a persistent id names, or the class of a whole model.

        It is `("storage", type, key, device, count)`, in legacy files with None behind
        it (once a view of another storage), or `("module", class, file, source)`.
        """
        match identifier:
            case ("module", Stub() as model, _, _):
                return model
            case ("storage", Stub() as kind, str() as key, _, count, *view):
                is_plain = view in ([], [None])
                if is_plain and _is_int64(count) and len(key) <= _MAX_KEY_LENGTH:
                    storage = Storage(*_dtypes_of(kind), count)
                    if self.storages.setdefault(key, storage) != storage:
                        raise CheckpointFormatError("two storages have one key")
                    return self.storages[key]
        raise CheckpointFormatError("its pickle names a storage wrongly")

    def _tensor_v2(self, *arguments: Any) -> np.ndarray:
        if any(arguments[6:]):  # After requires_grad and hooks: pending operations.
            raise CheckpointFormatError("it holds a lazily negated tensor", _PLAIN)
        return self._tensor(*arguments[:4])

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any) -> np.ndarray:
        """An array that waits for its elements, and has memory of its own."""
        if not isinstance(storage, Storage):
            raise CheckpointFormatError("a tensor has no storage")
        _check_geometry(storage.count, offset, size, stride)
        self._bytes += math.prod(size) * storage.native.itemsize
        if self._bytes > self._limit:
            raise CheckpointFormatError(
                f"its tensors take more than {self._limit:,} bytes, far more than the"
                " file or one of these networks holds",
                "Save them in PyTorch without expanded views: call .clone() on each",
            )
        array = np.empty(size, storage.native)
        if array.size:
            step = storage.stored.itemsize
            # Along an axis of one element any stride is allowed.
            axes = zip(size, stride, strict=True)
            strides = [s * step if n > 1 else 0 for n, s in axes]
            storage.waiting.append((array, offset * step, strides))
        return array

    def _from_type(self, function: Any, _type: Any, arguments: Any, *_: Any) -> Any:
        """A tensor of a subclass, or with attributes, as a plain one."""
        match function, arguments:
            case Stub(module="torch._utils"), tuple():
                if rebuild := self.functions.get((function.module, function.name)):
                    return rebuild(*arguments)
        raise CheckpointFormatError("it holds a tensor of an unknown type", _PLAIN)


def _dtypes_of(kind: Stub) -> tuple[np.dtype, np.dtype]:
    if kind.name not in _DTYPES or kind.module not in ("torch", "torch.cuda"):
        problem = f"it holds a {kind.qualified_name}, which is not supported"
        raise CheckpointFormatError(problem, _PLAIN)
    stored, native = _DTYPES[kind.name]
    return np.dtype(stored), np.dtype(native)


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
