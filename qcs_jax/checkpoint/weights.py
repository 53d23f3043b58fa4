"""A network in one file: safetensors, with PyTorch's names and layouts.

Its arrays are called as in the published code (`models.torch_layout`), so that either
framework reads them. What the network is lies beside them: the text "qcs_jax" in the
file's metadata is JSON, the description of a checkpoint (see `describe`) with the step.
"sha256" is the digest of everything, and a file that does not have it is refused.

The package has such files of its own, which are loaded by name. One of the Hugging
Face Hub is "hf:owner/name", or "hf:owner/name@revision": a branch, a tag or a commit,
else the newest. It is downloaded and kept in the Hub's own cache, which serves it where
there is no connection. Nothing of a repository is ever executed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import numpy as np
import safetensors
import safetensors.numpy

from qcs_jax.checkpoint.description import CheckpointError, DamagedError, check_known
from qcs_jax.config.validate import foreign
from qcs_jax.models import torch_layout
from qcs_jax.system import extras
from qcs_jax.system.errors import first_line
from qcs_jax.system.files import replacing

SUFFIX = ".safetensors"
FILE = f"model{SUFFIX}"  # in a folder of its own, such as one of the Hub
PRETRAINED = pathlib.Path(__file__).parents[1] / "pretrained"
FACES = "faces"  # a backbone that comes with the package, to start from

# In the folder of a run, of its checkpoints, of seeds or of a table.
_RUNS = "checkpoints", "[0-9]*/params", "*/checkpoints", "*/*/checkpoints"

_DESCRIPTION, _DIGEST = "qcs_jax", "sha256"
_FACTORS = ".factors"  # behind the name of an array of bytes
_HUB = "hf:"
_HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", re.ASCII)


def pretrained() -> dict[str, pathlib.Path]:
    """The networks that come with the package: name -> file."""
    files = {path.stem: path for path in sorted(PRETRAINED.glob(f"*{SUFFIX}"))}
    files.pop(FACES, None)
    return files


def find(path: str | os.PathLike) -> pathlib.Path | None:
    """Returns the file that a path or a name means; None if none.

    A file, a run or a folder of runs goes before a name of the package; a folder of
    another kind, such as images of faces, does not. What is of the Hub is downloaded.
    """
    text = os.fspath(path)
    if in_hub(path):
        return fetch(text)
    path = pathlib.Path(path)
    if (path / FILE).is_file() and not (path / "checkpoints").is_dir():
        return path / FILE
    if path.suffix == SUFFIX and not path.is_dir():
        return path
    named = {**pretrained(), FACES: PRETRAINED / f"{FACES}{SUFFIX}"}.get(text)
    if named and (path.is_file() or any(any(path.glob(x)) for x in _RUNS)):
        return None
    return named


def name_of(path: str | os.PathLike) -> str:
    """What a file, its folder, or a network of the Hub is called, fit for a folder."""
    if in_hub(path):
        return re.sub(r"[^\w.-]+", "_", os.fspath(path).partition(":")[2])
    path = pathlib.Path(path)
    name = path.resolve().name if path.exists() else path.name
    return name.removesuffix(SUFFIX)


def save(
    path: str | os.PathLike,
    variables: Mapping[str, Any],
    description: Mapping[str, Any],
    *,
    dtype: str = "float32",
) -> None:
    """Writes a file; one that was there is replaced once the new one is whole.

    Args:
      path: The file.
      variables: Those of a whole network, or of its base branch.
      description: That of a checkpoint with "step", and what else JSON can express.
      dtype: "float32", "float16" for half the size, or "int8" for a quarter of it:
        kernels are stored in 8 bits, with one float32 factor for each output. PyTorch
        refuses those.

    Raises:
      CheckpointError: if PyTorch's code has no place for an array (the ablations that
        are not connected by a ViT), or float16 cannot hold a value.
      OSError: if the file cannot be written.
    """
    arrays = {}
    for name, value in flax.traverse_util.flatten_dict(variables, sep="/").items():
        key, transform = torch_layout.key_of(name)
        if not key:
            raise CheckpointError(f"{name} has no name in PyTorch's code")
        stored = "float16" if dtype == "float16" else "float32"
        with np.errstate(over="ignore"):  # becomes infinite
            array = np.array(transform.to_torch(np.asarray(value)), stored, order="C")
        if not np.isfinite(array).all():
            raise CheckpointError(f"{name} has values that are no finite {stored}")
        if dtype == "int8" and transform.axes:
            array, arrays[f"{key}{_FACTORS}"] = _in_bytes(array)
        arrays[key] = array
    text = json.dumps(description, sort_keys=True)
    metadata = {"format": "pt", _DESCRIPTION: text, _DIGEST: digest(arrays, text)}
    data = safetensors.numpy.save(arrays, metadata)
    with replacing(path) as unfinished:
        unfinished.write_bytes(data)


def read(
    path: str | os.PathLike, *, branch: str = ""
) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Returns variables, or those of a branch, description and step of a file.

    Raises:
      CheckpointError: if there is none, or it is damaged or of another origin.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in file.keys()}
    except FileNotFoundError:
        raise CheckpointError(f"there is no file {path}") from None
    except (OSError, safetensors.SafetensorError, ValueError, TypeError) as error:
        raise DamagedError(f"{path} is no whole safetensors file: {error}") from error
    if not {_DESCRIPTION, _DIGEST} <= metadata.keys():
        raise CheckpointError(
            f"{path} does not say which network it is of: give a file that "
            f"qcs-jax export --format=safetensors has written"
        )
    text = metadata[_DESCRIPTION]
    if digest(arrays, text) != metadata[_DIGEST]:
        raise DamagedError(f"{path} is damaged: it is not what was saved")
    try:
        description = json.loads(text)
    except ValueError:
        description = None
    factors = {key: arrays.pop(key) for key in [*arrays] if key.endswith(_FACTORS)}
    names = (torch_layout.path_of(key)[0] or key for key in arrays)
    check_known(path, description, names)
    if "step" not in description:
        raise foreign(path, "step")
    flat = {}
    for key, array in arrays.items():
        name, transform = torch_layout.path_of(key)
        if array.dtype == np.int8:
            array = array[..., 0] * factors[f"{key}{_FACTORS}"]
        if not branch or name.split("/")[1] == branch:
            flat[name] = np.array(transform.to_jax(array), np.float32, order="C")
    variables = flax.traverse_util.unflatten_dict(flat, sep="/")
    return variables, description, description["step"]


def _in_bytes(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers from -127 to 127, and a factor for each output, the first axis.

    The numbers have an axis more at their end: PyTorch, which knows no factors, would
    copy them as weights if they had the shape of those.
    """
    others = tuple(range(1, array.ndim))
    factors = np.abs(array).max(axis=others, keepdims=True) / np.float32(127)
    whole = np.round(array / np.maximum(factors, np.finfo(np.float32).tiny))
    return whole.astype(np.int8)[..., None], factors


def digest(arrays: Mapping[str, np.ndarray], text: str) -> str:
    """SHA-256 of a text, and of every array with its name, shape and type."""
    sha = hashlib.sha256(text.encode())
    for key, array in sorted(arrays.items()):
        sha.update(f"\0{key}\0{array.dtype}{array.shape}\0".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def in_hub(path: str | os.PathLike[str]) -> bool:
    """Whether a path means a network of the Hub."""
    return os.fspath(path).startswith(_HUB)


@functools.cache  # one revision in one process, and one request
def fetch(path: str) -> pathlib.Path:
    """Downloads a repository's file unless the cache has it; returns where it lies.

    Raises:
      CheckpointError: if there is no such repository, revision or file, or no
        connection and nothing in the cache.
      UserError: if huggingface-hub (the extra `hub`) is not installed.
    """
    text = path.removeprefix(_HUB)
    match = _HUB_NAME.fullmatch(text)
    if not match:
        raise CheckpointError(f"{path}: give hf:OWNER/NAME")
    repository, revision = match.groups()
    with extras.named():
        import huggingface_hub
        from huggingface_hub import errors
    # It tells of every attempt; what is said below says it once.
    huggingface_hub.logging.set_verbosity_error()
    name, log_in = f"the Hub's {repository}", "log in with `hf auth login`"
    refusals = {
        errors.RevisionNotFoundError: f"{name} has no revision {revision}",
        errors.GatedRepoError: f"{name} asks for consent: accept its terms there, and "
        f"{log_in}",
        errors.RepositoryNotFoundError: f"the Hub has no repository {repository}, or a "
        f"private one: {log_in}",
        errors.LocalEntryNotFoundError: f"the Hub cannot be reached, and {repository} "
        f"is not in its cache: try again when there is a connection",
        errors.EntryNotFoundError: f"{name} has no file {FILE}: it is not one that "
        f"qcs-jax export --format=hub has written",
    }
    try:
        location = huggingface_hub.hf_hub_download(repository, FILE, revision=revision)
    except Exception as error:  # of names, of transport: it has no common kind
        other = f"{name} cannot be downloaded: {first_line(error)}"
        known = (text for kind, text in refusals.items() if isinstance(error, kind))
        raise CheckpointError(next(known, other)) from None
    return pathlib.Path(location)
