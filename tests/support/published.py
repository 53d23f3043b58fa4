"""Rebuilds the weights and inputs behind the golden numbers.

The numbers in `golden/` were computed in float64 with the published PyTorch code. Its
weights are a pure function of the PyTorch key and shape; images and labels of a seed.
"""

import json
import pathlib
import zlib

import flax.traverse_util
import numpy as np

from qcs_jax.models import torch_layout

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


def read(name: str):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    n = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    last = key.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return np.zeros(shape)
    if last == "running_mean":
        return 0.1 * n
    if last == "running_var":
        return np.exp(0.1 * n)
    if last in ("theta", "cls_token", "pos_embed"):
        return 0.5 * n
    if last == "bias":
        return 0.05 * n
    if n.ndim >= 2:
        small = 0.3 if key.endswith("res_layer.3.weight") else 1.0
        return small * n / np.sqrt(np.prod(shape[1:]))
    if key.endswith(("input_layer.2.weight", "res_layer.2.weight")):  # PReLU
        return 0.25 + 0.05 * n
    return 1 + 0.1 * n


def state_dict(name: str, dtype=np.float32) -> dict[str, np.ndarray]:
    """All arrays of a published layout."""
    return {
        key: weight(key, tuple(shape)).astype(dtype)
        for key, shape in read(f"layout_{name}").items()
    }


def variables(name: str, dtype=np.float32) -> dict:
    """The live ones of them, as variables of the network here."""
    flat = {}
    for key, array in state_dict(name, dtype).items():
        if not torch_layout.is_dead(key):
            path, transform = torch_layout.path_of(key)
            flat[path] = np.asarray(transform.to_jax(array))
    return flax.traverse_util.unflatten_dict(flat, sep="/")


def batch(
    seed: int, step: int, n: int, classes: int, dtype=np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Images `[n, 2, 224, 224, 3]` and labels `[n, 2]` of a step."""
    r = np.random.default_rng([seed, step])
    images = r.standard_normal((n, 2, 3, 224, 224)).astype(dtype)
    y = r.integers(0, classes, size=2)
    y_neg = (y + 1 + r.integers(0, classes - 1, size=2)) % classes
    labels = np.stack([y, y, y_neg, y_neg][:n]).astype(np.int32)
    return images.transpose(0, 1, 3, 4, 2), labels
