"""Reads PyTorch checkpoints (`.pth`) without PyTorch and without trusting them.

A `.pth` file is a pickle that refers to raw storages. The pickle runs on a machine that
cannot execute anything (`pickle_machine`); what it says about tensors is checked
against the bytes that exist before any memory is taken (`tensors`); both containers of
PyTorch are known (`containers`).

    weights = state_dict_of(load_pth("model_best.pth"))  # {"conv1.weight": array, ...}
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qcs_jax.convert.reader.containers import load_archive, load_legacy
from qcs_jax.convert.reader.pickle_machine import (
    DOWNLOAD,
    SAVE,
    CheckpointFormatError,
    Stub,
    shorten,
)
from qcs_jax.convert.reader.tensors import ByteLimit

__all__ = ["CheckpointFormatError", "Stub", "load_pth", "shorten", "state_dict_of"]

# How files that are often taken for a checkpoint begin, and what to do with them.
_WRONG_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89HDF", "it is an HDF5 file", SAVE),
    (b"version https://git-lfs", "it is a Git LFS pointer", "Run `git lfs pull`"),
    (b"<", "it is a web page, not the file it links to", DOWNLOAD),
    (b"\x1f\x8b", "it is a gzip archive", "Unpack it first"),
    (b"Rar!", "it is a rar archive", "Unpack it first"),
    (b"7z\xbc\xaf", "it is a 7z archive", "Unpack it first"),
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
        is_zip = start.startswith(b"PK\x03\x04")
        return (load_archive if is_zip else load_legacy)(file, size, ByteLimit(size))


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
    if isinstance(candidate, Stub):
        raise CheckpointFormatError(
            f"{what} is a pickled {candidate.qualified_name} object, and reading it"
            " would mean to run its class",
            SAVE,
        )
    if not isinstance(candidate, Mapping):
        kind = type(candidate).__name__
        raise CheckpointFormatError(f"{what} is a {kind}, not a dict", SAVE)
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


def _listed(mapping: Mapping[Any, Any], limit: int = 20) -> str:
    """Describes the entries without printing what a file may have made endless."""
    shown = []
    for key, value in list(mapping.items())[:limit]:
        name = shorten(key) if isinstance(key, str) else "?"
        is_stub = isinstance(value, Stub)
        kind = value.qualified_name if is_stub else type(value).__name__
        shown.append(f"{name} ({kind})")
    more = len(mapping) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "") or "nothing"
