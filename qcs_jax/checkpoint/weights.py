"""A network in one file: safetensors, with PyTorch's names and layouts.

Its arrays are called as in the published code (`models.torch_layout`), so that either
framework reads them. What the network is lies beside them: the text "qcs_jax" in the
file's metadata is JSON, the description of a checkpoint (see `describe`) with the step.
"sha256" is the digest of everything, and a file that does not have it is refused.

The package has such files of its own, which are loaded by name.
"""

from __future__ import annotations

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

from qcs_jax.checkpoint import hub
from qcs_jax.checkpoint.description import CheckpointError, DamagedError, check_known
from qcs_jax.config import written
from qcs_jax.models import torch_layout
from qcs_jax.system.files import replacing

SUFFIX = ".safetensors"
FILE = f"model{SUFFIX}"  # in a folder of its own, such as one of the Hub
PRETRAINED = pathlib.Path(__file__).parents[1] / "pretrained"

_DESCRIPTION, _DIGEST = "qcs_jax", "sha256"


def pretrained() -> dict[str, pathlib.Path]:
    """The networks that come with the package: name -> file."""
    return {path.stem: path for path in sorted(PRETRAINED.glob(f"*{SUFFIX}"))}


def find(path: str | os.PathLike) -> pathlib.Path | None:
    """Returns the file that a path, or the name of a network, means; None if none.

    What exists goes before a name of the package. What is of the Hub is downloaded.
    """
    if hub.names(path):
        return hub.fetch(os.fspath(path), FILE)
    path = pathlib.Path(path)
    if (path / FILE).is_file() and not (path / "checkpoints").is_dir():
        return path / FILE
    if path.suffix == SUFFIX and not path.is_dir():
        return path
    return None if path.exists() else pretrained().get(str(path))


def name_of(path: str | os.PathLike) -> str:
    """What a file, its folder, or a network of the Hub is called, fit for a folder."""
    if hub.names(path):
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
      dtype: "float32", or "float16" for half the size.

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
        with np.errstate(over="ignore"):  # becomes infinite
            array = np.array(transform.to_torch(np.asarray(value)), dtype, order="C")
        if not np.isfinite(array).all():
            raise CheckpointError(f"{name} has values that are no finite {dtype}")
        arrays[key] = array
    text = json.dumps(description, sort_keys=True)
    metadata = {"format": "pt", _DESCRIPTION: text, _DIGEST: digest(arrays, text)}
    data = safetensors.numpy.save(arrays, metadata)
    with replacing(path) as unfinished:
        unfinished.write_bytes(data)


def load(
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
    names = (torch_layout.path_of(key)[0] or key for key in arrays)
    check_known(path, description, names)
    if "step" not in description:
        raise written.foreign(path, "step")
    flat = {}
    for key, array in arrays.items():
        name, transform = torch_layout.path_of(key)
        if not branch or name.split("/")[1] == branch:
            flat[name] = np.array(transform.to_jax(array), np.float32, order="C")
    variables = flax.traverse_util.unflatten_dict(flat, sep="/")
    return variables, description, description["step"]


def digest(arrays: Mapping[str, np.ndarray], text: str) -> str:
    """SHA-256 of a text, and of every array with its name, shape and type."""
    sha = hashlib.sha256(text.encode())
    for key, array in sorted(arrays.items()):
        sha.update(f"\0{key}\0{array.dtype}{array.shape}\0".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()
