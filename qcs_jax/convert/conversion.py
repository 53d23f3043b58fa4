"""PyTorch state_dict <-> variables, complete or not at all."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax.numpy as jnp
import numpy as np

from qcs_jax.convert import reader, recognise
from qcs_jax.convert.reader import shorten
from qcs_jax.models import torch_layout
from qcs_jax.models.torch_layout import Sizes, Transform
from qcs_jax.system.errors import UserError

_SHOWN = 20  # of each kind of error


@dataclasses.dataclass(frozen=True)
class Conversion:
    """A PyTorch checkpoint as variables, and how its keys were read."""

    network: str  # of `models.BRANCHES`, or "backbone"
    sizes: Sizes  # of the backbone alone, only its `widths` and `units` mean something
    size_name: str  # in `models.SIZES`, or ""
    variables: dict[str, Any]  # "params" and "batch_stats", NumPy float32
    mapped: dict[str, str]  # to a path here, such as `params/base/vit/head/kernel`
    ignored: tuple[str, ...]  # of parts that are never used
    ignored_parameters: int
    renamed: dict[str, str]  # to the name in the published code, where it differs


def default_residual(network: str, num_classes: int) -> str:
    """The residual form of the published checkpoints, which weights do not show."""
    return "pre_norm" if (network, num_classes) == ("dcs", 8) else "normalized"


def from_torch(state_dict: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Variables of a published state_dict, of any floating type, or of its backbone.

    Returns:
      `{"params": {"base": ..., "cross": ...}, "batch_stats": {"base": ...}}`, float32.
      The baseline has no "cross", the backbone alone only "base/backbone".

    Raises:
      UserError: naming everything that is missing, unknown, or of another shape.
    """
    return convert_state_dict(state_dict).variables


def read_pth(path: str | os.PathLike[str]) -> Conversion:
    """Reads a PyTorch checkpoint file, executing nothing of it.

    Raises:
      UserError: if it cannot be read, or is not of these networks.
    """
    saved = reader.load_pth(path)
    try:
        return convert_state_dict(reader.state_dict_of(saved))
    except UserError as error:
        raise UserError(f"{os.fspath(path)}: {error}") from None


def convert_state_dict(state_dict: Mapping[str, np.ndarray]) -> Conversion:
    """Like `from_torch`, with what was recognised, mapped and ignored."""
    keys, twice = recognise.published_names(state_dict)
    arrays = {name: state_dict[key] for name, key in keys.items()}
    network, sizes = recognise.network_of(arrays), recognise.sizes_of(arrays)
    shapes = recognise.shapes(network, sizes)
    problems: Problems = {kind: [] for kind in _PROBLEMS}
    problems[_TWICE] += map(shorten, twice)
    flat, mapped, ignored, ignored_parameters = {}, {}, [], 0
    for name, value in arrays.items():
        key, (path, transform) = keys[name], torch_layout.path_of(name)
        if torch_layout.is_dead(name):
            ignored.append(key)
            if not name.endswith(torch_layout.STATISTICS):
                ignored_parameters += np.size(value)
        elif path not in shapes:
            problems[_UNKNOWN].append(shorten(key))
        else:
            mapped[key] = path
            flat[path] = _fitted(key, value, transform, shapes[path], problems)
    absent = shapes.keys() - flat.keys()
    problems[_MISSING] += sorted(torch_layout.key_of(path)[0] for path in absent)
    _raise_if_any(problems, f"the {network} network that this state_dict seems to hold")
    return Conversion(
        network=network,
        sizes=sizes,
        size_name=recognise.size_name(sizes),
        variables=flax.traverse_util.unflatten_dict(flat, sep="/"),
        mapped=mapped,
        ignored=tuple(ignored),
        ignored_parameters=ignored_parameters,
        renamed={key: name for name, key in keys.items() if key != name},
    )


def to_torch(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A state_dict that the published code loads, strictly; see `from_torch`.

    Returns:
      Names to NumPy arrays: float32 weights, zero in parts that are never used, and
      int64 counters.

    Raises:
      UserError: naming what the published code has no place for (the ablations that
        are not connected by a ViT), and what is missing or of another shape.
    """
    flat = flax.traverse_util.flatten_dict(dict(variables), sep="/")
    problems: Problems = {kind: [] for kind in _PROBLEMS}
    state_dict = {}
    for path, value in flat.items():
        key, transform = torch_layout.key_of(path)
        if not key:
            problems[_UNKNOWN].append(path)
        elif transform.axes and len(transform.axes) != np.ndim(value):
            problems[_SHAPE].append(f"{path} has {np.ndim(value)} axes")
        else:
            array = transform.to_torch(np.asarray(value))
            state_dict[key] = np.array(array, np.float32, order="C")
    _raise_if_any(problems, "the published PyTorch networks")
    read = convert_state_dict(state_dict)  # what is written can be read: same checks
    if read.network != recognise.BACKBONE:
        cross = read.network != "baseline"
        state_dict |= torch_layout.dead_arrays(read.sizes, cross=cross)
    return state_dict | torch_layout.counters(state_dict)


# Everything that is wrong with a state_dict, for one message: kind -> names.
Problems = dict[str, list[str]]
_MISSING, _UNKNOWN, _TWICE, _SHAPE, _VALUE = _PROBLEMS = (
    "missing",
    "unknown",
    "there twice, under other prefixes",
    "of another shape",
    "not finite floating point numbers",
)


def _fitted(
    key: str,
    value: Any,
    transform: Transform,
    shape: tuple[int, ...],
    problems: Problems,
) -> np.ndarray | None:
    """The array as it is here, or None and a problem if it does not fit."""
    array = np.asarray(value)
    expected = transform.shape_in_torch(shape)
    # NumPy itself does not know that bfloat16 is a number.
    if not jnp.issubdtype(array.dtype, jnp.floating):
        kind, fault = _VALUE, f"is {array.dtype}"
    elif array.shape != expected:
        kind, fault = _SHAPE, f"is {list(array.shape)}, not {list(expected)}"
    else:
        with np.errstate(over="ignore"):  # becomes infinite, which is reported
            array = np.array(transform.to_jax(array), np.float32, order="C")
        if np.isfinite(array).all():
            return array
        kind, fault = _VALUE, "has values that are not finite"
    problems[kind].append(f"{shorten(key)} {fault}")
    return None


def _raise_if_any(problems: Problems, what: str) -> None:
    """Raises UserError, with numbers, and names up to a limit."""
    lines = []
    for kind, keys in problems.items():
        if keys:
            more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
            count = f"{len(keys)} {'is' if len(keys) == 1 else 'are'}"
            lines.append(f"{count} {kind}: {', '.join(keys[:_SHOWN])}{more}")
    if lines:
        raise UserError("\n  ".join([f"arrays do not fit {what}:", *lines]))
