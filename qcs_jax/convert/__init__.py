"""PyTorch checkpoints of the published networks, both ways, complete or not at all.

    variables = convert.read_pth("model_best.pth").variables
    variables = convert.from_torch(state_dict)
    state_dict = convert.to_torch(variables)

The spellings of published files are read as the one that the table of names,
`models.torch_layout`, knows. Which network a state_dict is of, and how large, its keys
and shapes say. As a command: `qcs-jax convert model_best.pth --out=DIR`.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
import os
import re
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from qcs_jax import models
from qcs_jax.convert import reader
from qcs_jax.convert.reader import shorten
from qcs_jax.models import torch_layout
from qcs_jax.models.qcs import QCS
from qcs_jax.models.torch_layout import Transform
from qcs_jax.system.errors import UserError

BACKBONE = "backbone"  # beside the names of `models.BRANCHES`

_PREFIX = "ir_back."  # which files of the backbone alone leave out
_BACKBONE_PARTS = re.compile(r"(input_layer|output_layer|body[0-9]?)\.")
_EMBED = re.compile(r"embed_([123])\.")
_FLAT = re.compile(r"ir_back\.body\.([0-9]{1,4})\.(.*)")

# Network -> what it has, and none below it.
_SIGNS = {
    "qcs": r"cross_attention_[123]\.theta",
    "dcs": r"cross_attention_[123]\.|VIT_cross\.",
    "baseline": r"VIT_base\.",
    BACKBONE: r"ir_back\.",
}

_MOST = 64  # units or blocks; what a file claims beyond that is unknown to the network
_SHOWN = 20  # of each kind of error

# Everything that is wrong with a state_dict, for one message: kind -> names.
Problems = collections.defaultdict[str, list[str]]
_NO_NUMBERS = "not finite floating point numbers"


@dataclasses.dataclass(frozen=True)
class Conversion:
    """A PyTorch checkpoint as variables, and what it was recognised as."""

    network: str  # of `models.BRANCHES`, or "backbone"
    model: QCS  # of its sizes; of the backbone alone, `widths` and `units`
    variables: dict[str, Any]  # "params" and "batch_stats", NumPy float32
    ignored: tuple[str, ...]  # keys of parts that are never used
    ignored_parameters: int

    @property
    def size_name(self) -> str:
        """The name in `models.SIZES` of a network of these sizes, "" if it has none."""

        def sizes(model: QCS) -> tuple[object, ...]:
            stages, side = (model.widths, model.units), torch_layout.side(model)
            return model.backbone, *stages, model.features, model.depth, side

        named = {sizes(models.create("qcs", name)): name for name in models.SIZES}
        return named.get(sizes(self.model), "")


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
    """Like `from_torch`, with what was recognised and ignored."""
    keys, twice = _published_names(state_dict)
    arrays = {name: state_dict[key] for name, key in keys.items()}
    network = _network_of(arrays)
    model = _model_of(network, arrays)
    tree = jax.eval_shape(lambda: models.init(model, jax.random.key(0)))
    part = "/base/backbone/" if network == BACKBONE else ""
    flat = flax.traverse_util.flatten_dict(tree, sep="/")
    shapes = {path: x.shape for path, x in flat.items() if part in path}
    problems: Problems = collections.defaultdict(list)
    problems["there twice, under other prefixes"] += map(shorten, twice)
    fitted, ignored, ignored_parameters = {}, [], 0
    for name, value in arrays.items():
        key, (path, transform) = keys[name], torch_layout.path_of(name)
        if torch_layout.is_dead(name):
            ignored.append(key)
            if not name.endswith(torch_layout.STATISTICS):
                ignored_parameters += np.size(value)
        elif path not in shapes:
            problems["unknown"].append(shorten(key))
        else:
            fitted[path] = _fitted(key, value, transform, shapes[path], problems)
    absent = shapes.keys() - fitted.keys()
    problems["missing"] += sorted(torch_layout.key_of(path)[0] for path in absent)
    _raise_if_any(problems, f"the {network} network that this state_dict seems to hold")
    return Conversion(
        network=network,
        model=model,
        variables=flax.traverse_util.unflatten_dict(fitted, sep="/"),
        ignored=tuple(ignored),
        ignored_parameters=ignored_parameters,
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
    problems: Problems = collections.defaultdict(list)
    state_dict = {}
    for path, value in flat.items():
        key, transform = torch_layout.key_of(path)
        if not key:
            problems["unknown"].append(path)
        elif transform.axes and len(transform.axes) != np.ndim(value):
            problems["of another shape"].append(f"{path} has {np.ndim(value)} axes")
        else:
            array = transform.to_torch(np.asarray(value))
            state_dict[key] = np.array(array, np.float32, order="C")
    _raise_if_any(problems, "the published PyTorch networks")
    read = convert_state_dict(state_dict)  # what is written can be read: same checks
    if read.network != BACKBONE:
        state_dict |= torch_layout.dead_arrays(read.model)
    return state_dict | torch_layout.counters(state_dict)


def _fitted(
    key: str,
    value: Any,
    transform: Transform,
    shape: tuple[int, ...],
    problems: Problems,
) -> np.ndarray | None:
    """The array as it is here, or None and a problem if it does not fit."""
    array = np.asarray(value)
    expected = transform.to_torch(np.broadcast_to(0, shape)).shape
    # NumPy itself does not know that bfloat16 is a number.
    if not jnp.issubdtype(array.dtype, jnp.floating):
        kind, fault = _NO_NUMBERS, f"is {array.dtype}"
    elif array.shape != expected:
        kind = "of another shape"
        fault = f"is {list(array.shape)}, not {list(expected)}"
    else:
        with np.errstate(over="ignore"):  # becomes infinite, which is reported
            array = np.array(transform.to_jax(array), np.float32, order="C")
        if np.isfinite(array).all():
            return array
        kind, fault = _NO_NUMBERS, "has values that are not finite"
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


def _published_names(
    state_dict: Mapping[str, np.ndarray],
) -> tuple[dict[str, str], list[str]]:
    """Published names -> the file's keys; and keys that mean what another one does."""
    renamed = {}
    for key in state_dict:
        name = key.removeprefix("module.")  # of a data-parallel model
        if _BACKBONE_PARTS.match(name):
            name = _PREFIX + name
        name = _EMBED.sub(lambda m: f"embed_{'qkv'[int(m[1]) - 1]}.", name, count=1)
        renamed[key] = name
    stages = _stages({name: np.shape(state_dict[key]) for key, name in renamed.items()})
    keys: dict[str, str] = {}
    twice = []
    for key, name in renamed.items():
        if flat := _FLAT.fullmatch(name):
            stage, unit = stages[int(flat[1])]
            name = f"{_PREFIX}body{stage}.{unit}.{flat[2]}"
        if keys.setdefault(name, key) != key:
            twice.append(key)
    return keys, twice


def _stages(shapes: Mapping[str, tuple[int, ...]]) -> dict[int, tuple[int, int]]:
    """Number of a unit in a flat body -> stage and unit: a new width, a new stage."""
    widths: dict[int, int] = {}
    for name, shape in shapes.items():
        if flat := _FLAT.fullmatch(name):
            unit, is_wide = int(flat[1]), flat[2] == "res_layer.3.weight" and shape
            widths[unit] = shape[0] if is_wide else widths.get(unit, 0)
    stages: dict[int, tuple[int, int]] = {}
    runs = itertools.groupby(sorted(widths), key=widths.__getitem__)
    for stage, (_, run) in enumerate(runs, start=1):
        numbers = list(run)  # one may be missing
        stages |= {n: (stage, n - numbers[0]) for n in numbers}
    return stages


def _network_of(arrays: Mapping[str, np.ndarray]) -> str:
    """A name of `models.BRANCHES`, or `BACKBONE`; UserError if it is none of these."""
    for network, sign in _SIGNS.items():
        if any(re.match(sign, name) for name in arrays):
            return network
    names = ", ".join(map(shorten, list(arrays)[:5])) or "nothing"
    raise UserError(
        f"this state_dict is not of QCS, DCS, the baseline or their backbone: expected "
        f"names such as VIT_base.head.linear.weight or body1.0.res_layer.0.weight, "
        f"found {names}"
    )


def _model_of(network: str, arrays: Mapping[str, np.ndarray]) -> QCS:
    """A network of the sizes that one array each tells, or else of published ones.

    Neither the number of heads nor how the image is sub-sampled shows in a shape.
    """

    def length(name: str, axis: int, default: int) -> int:
        shape = np.shape(arrays.get(name, ()))
        return shape[axis] if len(shape) > axis and 0 not in shape else default

    def count(pattern: str) -> int:
        """How many different numbers the pattern's group takes, from 1 to `_MOST`."""
        numbers = {match[1] for name in arrays if (match := re.match(pattern, name))}
        return min(max(len(numbers), 1), _MOST)

    published = models.create("baseline" if network == BACKBONE else network)
    side = torch_layout.side(published)
    positions = length("VIT_base.pos_embed", 1, 3 * side**2 + 1)
    return published.clone(
        num_classes=length("VIT_base.head.linear.bias", 0, published.num_classes),
        image_size=16 * math.isqrt(max((positions - 1) // 3, 1)),
        subsample=1,
        widths=tuple(
            length(f"ir_back.body{stage}.0.res_layer.4.weight", 0, width)
            for stage, width in enumerate(published.widths, start=1)
        ),
        units=tuple(count(rf"ir_back\.body{s}\.([0-9]+)\.") for s in (1, 2, 3)),
        features=length("VIT_base.norm.bias", 0, published.features),
        depth=count(r"VIT_base\.blocks\.([0-9]+)\."),
        heads=1,
    )
