"""A backbone that knows faces: dlib's network for recognition, as face-api has it.

face-api's files are a manifest of TensorFlow.js, `..._model-weights_manifest.json`, and
the bytes beside it: of each array, 8 bits a number, between a minimum and a maximum.
"""

from __future__ import annotations

import functools
import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import flax.traverse_util
import jax
import numpy as np

from qcs_jax.models import MEAN, STD, layers
from qcs_jax.models.batch_layout import BatchLayout
from qcs_jax.models.resnet29 import STEM_UNITS, ResNet29
from qcs_jax.system.errors import UserError

SUFFIX = "weights_manifest.json"

# What dlib subtracts from levels of red, green and blue, before it divides by 256.
_SUBTRACTED = (122.782, 117.001, 104.298)
_UNITS = (STEM_UNITS, *ResNet29.units)
_MEASURED = 64  # images at a time


def read_manifest(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads the arrays of a manifest of TensorFlow.js, float32.

    Raises:
      UserError: if a file is missing, cut short, or no such manifest.
    """
    path = pathlib.Path(path)
    try:
        groups = json.loads(path.read_text(encoding="utf-8"))
        return {k: v for group in groups for k, v in _read_group(path.parent, group)}
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is no whole manifest of TensorFlow.js: {error}"
        ) from error


def _read_group(folder: pathlib.Path, group: dict) -> Sequence[tuple[str, np.ndarray]]:
    """Names and arrays of one group: its files are one row of bytes."""
    data = b"".join((folder / name).read_bytes() for name in group["paths"])
    arrays, start = [], 0
    for entry in group["weights"]:
        packed, shape = entry.get("quantization"), entry["shape"]
        dtype = np.dtype(packed["dtype"] if packed else entry["dtype"])
        count = math.prod(shape)
        array = np.frombuffer(data, dtype, count, start).astype(np.float64)
        start += count * dtype.itemsize
        if packed:
            array = array * packed["scale"] + packed["min"]
        arrays.append((entry["name"], array.reshape(shape).astype(np.float32)))
    if start != len(data):
        raise ValueError(f"{len(data)} bytes, not the {start} of its arrays")
    return arrays


def backbone_of(arrays: Mapping[str, np.ndarray], images: np.ndarray) -> dict[str, Any]:
    """Makes variables of `ResNet29` that compute what the arrays do.

    A unit `NAME/conv1` or `NAME/conv2` has `conv/filters`, `conv/bias`, and with
    `scale/weights` a and `scale/biases` d one factor and one shift for each channel.
    They become a batch normalisation of the same function: with the mean and variance
    of its input over `images`, its scale is `a sqrt(variance + epsilon)` and its bias
    `d + a mean`.

    Args:
      arrays: As `read_manifest` gives them; those of layers that are left out may be
        missing.
      images: `[m, s, s, 3]`, normalised as networks here see them.

    Returns:
      `{"params": {"base": {"backbone": ...}}, "batch_stats": ...}`, NumPy float32.

    Raises:
      UserError: if there are not the arrays of this network.
    """
    names = {"stem": "conv32_down"}
    for stage, count in enumerate(_UNITS):
        for u in range(count):
            ours = f"stage{stage}_unit{u}" if stage else f"stem_unit{u}"
            number = "down" if stage and u == 0 else u + (not stage)
            for i in (1, 2):
                names[f"{ours}/{i}"] = f"conv{32 << stage}_{number}/conv{i}"
    try:
        affine = {place: _affine(arrays, name) for place, name in names.items()}
    except KeyError as error:
        raise UserError(
            f"this is no face recognition network of face-api: {error} is missing"
        ) from None
    params: dict[str, np.ndarray] = {}
    stats: dict[str, np.ndarray] = {}
    for place, (kernel, a, d) in affine.items():
        conv, norm = _modules(place)
        params |= {f"{conv}/kernel": kernel, f"{norm}/scale": a, f"{norm}/bias": d}
        stats |= {f"{norm}/mean": np.zeros_like(a), f"{norm}/var": np.ones_like(a)}
        params[f"{norm}/scale"] = a * np.sqrt(1 + layers.EPSILON)
    seen = _moments(params, stats, images)
    for place, (_, a, d) in affine.items():
        conv, norm = _modules(place)
        mean, var = seen[conv]
        params[f"{norm}/scale"] = a * np.sqrt(var + layers.EPSILON)
        params[f"{norm}/bias"] = d + a * mean
        stats |= {f"{norm}/mean": mean, f"{norm}/var": var}
    return {
        name: {"base": {"backbone": _tree(flat)}}
        for name, flat in {"params": params, "batch_stats": stats}.items()
    }


def _modules(place: str) -> tuple[str, str]:
    """`stem` -> `stem_conv`, `stem_norm`; `UNIT/1` -> `UNIT/conv1`, `UNIT/norm1`."""
    if place == "stem":
        return "stem_conv", "stem_norm"
    unit, _, i = place.partition("/")
    return f"{unit}/conv{i}", f"{unit}/norm{i}"


def _affine(arrays: Mapping[str, np.ndarray], name: str) -> tuple[np.ndarray, ...]:
    """Kernel, factor and shift of one convolution here, float64."""
    parts = ("conv/filters", "conv/bias", "scale/weights", "scale/biases")
    kernel, bias, a, d = (arrays[f"{name}/{x}"].astype(np.float64) for x in parts)
    if name == "conv32_down":  # x std + mean of what is seen here is a part of 255
        offset = (255 * np.array(MEAN) - _SUBTRACTED) / 256
        bias = bias + np.einsum("hwio,i->o", kernel, offset)
        kernel = kernel * (255 * np.array(STD) / 256)[:, None]
    return kernel, a, d + a * bias


def _moments(params: dict, stats: dict, images: np.ndarray) -> dict[str, tuple]:
    """Mean and variance, float64, of what each convolution gives for the images."""
    norm = functools.partial(layers.BatchNorm, layout=BatchLayout(), train=False)
    model = ResNet29(norm=norm)
    variables = {"params": _tree(params), "batch_stats": _tree(stats)}

    @jax.jit
    def convolved(images):
        _, kept = model.apply(
            variables,
            images,
            capture_intermediates=lambda module, _: isinstance(module, nn.Conv),
        )
        return kept["intermediates"]

    sums: dict[str, np.ndarray] = {}
    for start in range(0, len(images), _MEASURED):
        seen = jax.device_get(convolved(images[start : start + _MEASURED]))
        for path, (x,) in flax.traverse_util.flatten_dict(seen, sep="/").items():
            x = np.float64(x).reshape(-1, x.shape[-1])
            new = np.stack([np.full(x.shape[1], len(x)), x.sum(0), (x * x).sum(0)])
            name = path.removesuffix("/__call__")
            sums[name] = sums.get(name, 0) + new
    moments = {name: (s / n, t / n - (s / n) ** 2) for name, (n, s, t) in sums.items()}
    return {name: (mean, np.maximum(var, 0)) for name, (mean, var) in moments.items()}


def _tree(flat: dict) -> dict:
    arrays = {name: np.asarray(x, np.float32) for name, x in flat.items()}
    return flax.traverse_util.unflatten_dict(arrays, sep="/")
